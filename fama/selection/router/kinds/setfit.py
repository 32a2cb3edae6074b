"""The setfit router: a sentence encoder tuned by contrast (SetFit, Tunstall et al. 2022), and a classifier per helper.

The checkpoint has the difference between the tuned encoder and the one that it names, so that setfit and
sentence-transformers are needed to train it, and only what any encoder needs to use it.
"""

from typing import TYPE_CHECKING

import numpy as np

from fama.errors import optional_libraries
from fama.memo import RecentCache
from fama.selection.decision_rule import Floats
from fama.selection.router.embedder import one_thread
from fama.selection.router.features import Features, state_text
from fama.selection.router.kinds.base import RouterKind, StoredRouter
from fama.selection.router.kinds.checks import Arrays, check_shapes
from fama.selection.router.kinds.label_heads import ThresholdPredictor
from fama.selection.router.manifest import EncoderShape, RouterManifest
from fama.selection.traits import SelectorTraits

if TYPE_CHECKING:
    from fama.selection.router.encoder import SegmentEncoder

#: Prefix of the arrays that are differences of the encoder's weights.
DIFFERENCE = "encoder."
#: Largest difference of a weight: tuning changes weights by far less, and beyond it vectors may not be finite.
_LARGEST = 100.0
#: States whose vectors are kept.
_STATES = 64


class SetfitRouter(RouterKind):
    """Helpers of probability 1/2 or more, by one classifier per helper on the tuned encoder's vector of the text.

    Arrays: ``weight`` (C + H, 1 + D), the intercept first, with C 0 without labelled failures; and, of each weight of
    the encoder that was tuned, ``encoder.<name>``, in half precision, the difference to the encoder that ``shape``
    names.
    """

    title = "SetFit: contrastively tuned sentence encoder with one-vs-rest logistic regression"
    selector = "setfit"
    traits = SelectorTraits(setup="checkpoint", lead=7, rival=4)
    predicts_success = False
    encodes = True

    def __init__(self, stored: StoredRouter) -> None:
        super().__init__(stored)
        shape = EncoderShape.model_validate(stored.manifest.shape or {})
        with optional_libraries(f"the router's encoder {shape.name}"):
            encoder = tuned_encoder(shape, stored.arrays)
        categories = len(stored.manifest.categories) if stored.manifest.labelled else 0
        check_shapes(stored.arrays, {"weight": (categories + stored.helpers, 1 + encoder.size)})
        self.predictor = ThresholdPredictor(TextLabels(encoder, stored.arrays), categories)

    @classmethod
    def with_encoder(cls, manifest: RouterManifest, name: str) -> RouterManifest:
        """Return the manifest with the encoder under another name or in another folder."""
        return manifest.model_copy(update={"shape": {**(manifest.shape or {}), "name": name}})

    def outcomes(self) -> ThresholdPredictor:
        """Return the predictor of helpers."""
        return self.predictor

    def labels(self) -> ThresholdPredictor:
        """Return the predictor of helpers and of categories."""
        return self.predictor


def tuned_encoder(shape: EncoderShape, arrays: Arrays) -> "SegmentEncoder":
    """Load the named encoder and add the stored differences.

    Raises:
        BadInput: the encoder is not installed.
        ValueError: it has other weights than the one that was tuned, or the differences do not fit it.
    """
    import torch

    from fama.selection.router.encoder import SegmentEncoder, encoder_fingerprint, fastest_type

    found = encoder_fingerprint(shape.name)
    if found != shape.fingerprint:
        raise ValueError(f"encoder {shape.name} has other weights ({found}) than the one tuned ({shape.fingerprint})")
    encoder = SegmentEncoder(shape.name, shape.window, fetch=False).eval()
    weights = encoder.model.state_dict()
    names = sorted(name for name in arrays if name.startswith(DIFFERENCE))
    if unknown := [name for name in names if name.removeprefix(DIFFERENCE) not in weights]:
        raise ValueError(f"{unknown[0]}: the encoder has no such weight")
    check_shapes(arrays, {name: tuple(weights[name.removeprefix(DIFFERENCE)].shape) for name in names})
    if huge := [name for name in names if arrays[name].size and not np.abs(arrays[name]).max() <= _LARGEST]:
        raise ValueError(f"{huge[0]}: differs by more than {_LARGEST:g} from the encoder's weight")
    with torch.no_grad():
        for name in names:
            weights[name.removeprefix(DIFFERENCE)] += torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
    encoder.model.to(fastest_type())
    return encoder


def text_vectors(encoder: "SegmentEncoder", texts: list[str]) -> Floats:
    """Return the unit vector of the first window of every text, shape (n, D)."""
    import torch

    windows = [parts[0] for parts in encoder.chunks(texts)]
    with torch.inference_mode(), one_thread(len(texts) == 1):
        vectors = [encoder(*encoder.pad(windows[start : start + 16])) for start in range(0, len(windows), 16)]
    found: Floats = torch.cat(vectors).double().numpy()
    return found


class TextLabels:
    """Logits linear in the vector of the state's text: ``weight`` (C + H, 1 + D), the intercept first."""

    def __init__(self, encoder: "SegmentEncoder", arrays: Arrays) -> None:
        self.encoder = encoder
        self.weight = np.asarray(arrays["weight"], dtype=np.float64)
        self._vectors: RecentCache[str, Floats] = RecentCache(_STATES, len)

    def __call__(self, features: Features) -> Floats:
        """Return the logits in this state."""
        (vector,) = self._vectors.get_all(
            [state_text(features)], lambda unknown: text_vectors(self.encoder, [*unknown])
        )
        logits: Floats = self.weight[:, 0] + self.weight[:, 1:] @ vector
        return logits

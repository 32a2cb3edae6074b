"""Mining: from failed episodes to repairs, by executing helpers' notes before single decisions."""

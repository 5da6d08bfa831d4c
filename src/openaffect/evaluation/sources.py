"""Terms of the test sets and where they are asked for; none is shipped.

Only what the corpus itself or its repository was seen to state; "" where nothing was.
"""

from dataclasses import dataclass

MERTOOLS = "github.com/zeroQiaoba/MERTools"
MMSA = "github.com/thuiar/MMSA"


@dataclass(frozen=True)
class Source:
    """One test set's terms."""

    terms: str  # "" where no statement was seen: ask the authors
    origin: str  # where it is asked for, or whose paper describes it


SOURCES = {
    "emodb": Source("free for use with citation", "Burkhardt et al. 2005"),
    "ravdess": Source("CC BY-NC-SA 4.0", "Livingstone & Russo 2018"),
    "faces": Source("those of your own images", "any folder of face images, one folder per class"),
    "synthetic": Source("your own clips", "openaffect data synth"),
    "manifest": Source("those of your own clips", "a manifest of your own"),
    "dfew": Source("academic use, on application", "Jiang et al. 2020"),
    "mafw": Source("non-commercial research, by signed agreement", "github.com/MAFW-database/MAFW"),
    "mer2023-semi": Source("research, by signed agreement", MERTOOLS),
    "mer2024-noise": Source("research, by signed agreement", MERTOOLS),
    "meld": Source("", "github.com/declare-lab/MELD"),
    "iemocap": Source("academic use, on application", "sail.usc.edu/iemocap/iemocap_release.htm"),
    "crema-d": Source("", "github.com/CheyneyComputerScience/CREMA-D"),
    "cmu-mosi": Source("", MMSA),
    "cmu-mosei": Source("", MMSA),
    "ch-sims": Source("", MMSA),
    "ch-sims-v2": Source("", MMSA),
}

# Test sets of texts and words, scored straight on their tables by the command that is named.
TEXT_SETS = {
    "EMER reasoning (v1 100 clips, v2 332)": (
        "overlap",
        Source("research use", "github.com/zeroQiaoba/AffectGPT"),
    ),
    "EMER-OV, OV-MERD, OV-MERD+": (
        "open-vocabulary",
        Source("CC BY-NC 4.0 or by signed agreement", MERTOOLS),
    ),
}
UNSTATED = "not verified: ask the authors"

//! The demo: a few pictures inside the program, some of classes that the default model knows, some
//! of other things. `models/samples/SOURCES.md` says where they come from.

use crate::capture::{Embedded, Source};
use crate::network::Metadata;

macro_rules! sample {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../models/samples/", $name)))
    };
}

/// Name and file of each picture. The folder says what is true. They are some of the sample frames,
/// chosen so that both outcomes are seen; how often the model is right is no question for a demo, and
/// `models/CARD.md` answers it, for all of the sample frames too.
static PICTURES: &[(&str, &[u8])] = &[
    sample!("known/car-1.jpg"),
    sample!("known/cat-1.jpg"),
    sample!("known/dog-1.jpg"),
    sample!("known/espresso-1.jpg"),
    sample!("known/goldfish-1.jpg"),
    sample!("known/orange-1.jpg"),
    sample!("known/suspension-bridge-1.jpg"),
    sample!("unknown/astronaut-1.jpg"),
    sample!("unknown/chameleon-1.jpg"),
    sample!("unknown/owl-1.jpg"),
    sample!("unknown/sushi-1.jpg"),
];

/// What is printed when it is over.
pub const AFTERWARDS: &str = "
Each line is a picture and its verdict. The number is how far the picture is from everything the
model was trained on: up to 1.0 is known, above it is unknown.

Next: anchorwatch run --source DIR       your own pictures, with this model
      anchorwatch run --source DIR --annotate OUT     the same, with the verdict drawn on each
      anchorwatch --help                 everything else";

/// The pictures as a source.
pub fn source() -> Source {
    Source::Embedded(Embedded::new(PICTURES))
}

/// What is printed before the verdicts.
pub fn introduction(metadata: &Metadata) -> String {
    format!(
        "The model was trained on {}. In the pictures under known/ there are such things,
in those under unknown/ there is something that it has never seen. (They were chosen to show what
happens. How often a model is right is what 'anchorwatch eval' measures.)\n",
        metadata.classes.join(", ")
    )
}

//! What a trained network says of all pictures of a trial: features and logits, computed once, from
//! which every rejection score is.

use crate::architecture::Architecture;
use crate::calibration::{CENTRE_PICTURES, Logits, class_centres, distances, trained_anchors};
use crate::data_set::DataSet;
use crate::interrupt::Interrupt;
use crate::loss::Loss;
use crate::network::{Pass, features_and_logits};
use crate::pictures::Pictures;
use crate::progress;
use crate::recipe::Recipe;
use crate::training::normalise;
use crate::variables::Variables;
use anchorwatch::evaluate::KnownPicture;
use anyhow::Result;
use tch::{Kind, Tensor};

/// Pictures that the network gets at a time.
const BATCH: usize = 128;

/// Features, logits and classes of some pictures.
pub struct Sample {
    /// B×F, what the last layer reads.
    pub features: Tensor,
    /// B×N.
    pub logits: Tensor,
    /// B integers; of no meaning for unknown pictures.
    pub classes: Tensor,
}

/// What there is to judge a network by.
pub struct Evidence {
    /// Training pictures.
    pub train: Sample,
    /// Known pictures held out from training.
    pub known: Sample,
    /// Unknown ones.
    pub unknown: Sample,
    /// Mean logits of each class's rightly classified training pictures, M×N.
    pub centres: Tensor,
    /// Whether the class is that of the nearest centre; otherwise that of the largest logit.
    pub by_distance: bool,
}

impl Evidence {
    /// Runs the network on everything.
    ///
    /// # Errors
    /// If it is interrupted.
    pub fn gather(
        architecture: &Architecture,
        variables: &Variables,
        recipe: &Recipe,
        data: &DataSet,
        unknown: &Pictures,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let run = |pictures: &Pictures, indices: &[usize], what: &str| {
            sample(architecture, variables, recipe, pictures, indices, what, interrupt)
        };
        let all = |pictures: &Pictures| (0..pictures.len()).collect::<Vec<_>>();
        let chosen = data.train.sample(recipe.known.len(), CENTRE_PICTURES);
        let train = run(&data.train, &chosen, "training pictures")?;
        let values = Vec::<f32>::try_from(train.logits.flatten(0, -1))?;
        let logits = Logits { values, width: recipe.known.len() };
        let classes: Vec<usize> = chosen.iter().map(|&index| data.train.classes[index]).collect();
        let anchors = trained_anchors(variables, recipe.known.len())?;
        let (centres, _) = class_centres(&logits, &classes, anchors);
        Ok(Self {
            train,
            known: run(&data.held_out, &all(&data.held_out), "known pictures")?,
            unknown: run(unknown, &all(unknown), "unknown pictures")?,
            centres: Tensor::from_slice2(&centres),
            by_distance: recipe.loss != Loss::CrossEntropy,
        })
    }

    /// The known pictures with their scores.
    pub fn known_pictures(&self, scores: &[f32]) -> Vec<KnownPicture> {
        let predicted = if self.by_distance {
            distances(&self.known.logits, &self.centres).argmin(-1, false)
        } else {
            self.known.logits.argmax(-1, false)
        };
        let list = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap_or_default();
        list(&self.known.classes)
            .into_iter()
            .zip(list(&predicted))
            .zip(scores)
            .map(|((class, predicted), &score)| KnownPicture {
                class: class as usize,
                predicted: Some(predicted as usize),
                score,
            })
            .collect()
    }
}

fn sample(
    architecture: &Architecture,
    variables: &Variables,
    recipe: &Recipe,
    pictures: &Pictures,
    indices: &[usize],
    what: &str,
    interrupt: &Interrupt,
) -> Result<Sample> {
    let bar = progress::bar(indices.len() as u64, what);
    let (mut features, mut logits) = (Vec::new(), Vec::new());
    for part in indices.chunks(BATCH) {
        interrupt.check()?;
        let input = normalise(pictures.batch(part).to_kind(Kind::Float) / 255.0, &recipe.input);
        let (feature, logit) =
            tch::no_grad(|| features_and_logits(architecture, variables, &input, Pass::Evaluation));
        features.push(feature.flatten(1, -1));
        logits.push(logit);
        bar.inc(part.len() as u64);
    }
    bar.finish_and_clear();
    Ok(Sample {
        features: Tensor::cat(&features, 0),
        logits: Tensor::cat(&logits, 0),
        classes: pictures.targets(indices),
    })
}

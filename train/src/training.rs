//! The training loop: batches, the one-cycle schedule, checkpoints, progress. What comes after, from
//! centres to model files, is in [`crate::deploy`].

use crate::architecture::Architecture;
use crate::augment::augment;
use crate::average::Average;
use crate::checkpoint::Checkpoint;
use crate::composites::composites;
use crate::fake_quantization::FakeQuantized;
use crate::history::{History, StepRecord};
use crate::loss::{self, ANCHORS, Loss};
use crate::network::{Pass, forward};
use crate::pictures::Pictures;
use crate::progress;
use crate::recipe::{Draw, Recipe};
use crate::sgd::{Sgd, cosine, one_cycle};
use crate::variables::{Variables, seed_libtorch};
use anchorwatch::network::metadata::InputSpec;
use anyhow::{Result, ensure};
use rand::seq::SliceRandom;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// Momentum of the descent (authors' recipe).
const MOMENTUM: f64 = 0.9;

/// All variables of EfficientNet-Lite0's backbone begin so, those of its classifier do not.
const PRETRAINED_PREFIX: &str = "_";

/// How long nothing is said of the progress where no bar can be shown.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How a run of the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Finished,
    /// It was asked to stop; the checkpoint is saved, if there is one.
    Interrupted,
}

/// A network being trained.
pub struct Training<'a> {
    /// What is trained.
    pub architecture: &'a Architecture,
    /// How.
    pub recipe: &'a Recipe,
    /// On what.
    pub pictures: &'a Pictures,
    /// Where checkpoints go, if they are wanted.
    pub checkpoint: Option<PathBuf>,
    /// Epochs between checkpoints.
    pub checkpoint_every: f64,
    /// The network's values so far.
    pub variables: Variables,
    /// What the steps so far did.
    pub history: History,
    /// The int8 network that learns instead of the one in float, in a fine-tuning.
    int8: Option<FakeQuantized<'a>>,
    sgd: Sgd,
    average: Average,
    step: u64,
}

impl<'a> Training<'a> {
    /// A training that has not begun, from the given values.
    pub fn new(
        architecture: &'a Architecture,
        recipe: &'a Recipe,
        pictures: &'a Pictures,
        checkpoint: PathBuf,
        mut variables: Variables,
    ) -> Self {
        if recipe.loss == Loss::CacLearnt && !variables.by_name().contains_key(ANCHORS) {
            variables.learn(ANCHORS, loss::fixed_anchors(architecture.logits));
        }
        let sgd = Sgd::new(MOMENTUM, recipe.weight_decay, PRETRAINED_PREFIX, recipe.backbone_rate);
        let average = Average::new(recipe.average);
        Self {
            architecture,
            recipe,
            pictures,
            checkpoint: Some(checkpoint),
            checkpoint_every: 1.0,
            variables,
            history: History::default(),
            int8: None,
            sgd,
            average,
            step: 0,
        }
    }

    /// A fine-tuning of a trained network as int8 computes it, from its variables: batch normalisation as in
    /// evaluation, no dropout, and a learning rate that only falls. It leaves no checkpoint.
    pub fn fine_tuning(
        recipe: &'a Recipe,
        pictures: &'a Pictures,
        variables: Variables,
        architecture: &'a Architecture,
        int8: FakeQuantized<'a>,
    ) -> Self {
        Self {
            checkpoint: None,
            int8: Some(int8),
            ..Self::new(architecture, recipe, pictures, PathBuf::new(), variables)
        }
    }

    /// Continues from a checkpoint.
    pub fn resume(&mut self, mut checkpoint: Checkpoint) -> Result<()> {
        self.recipe.check_same(&checkpoint.recipe)?;
        self.step = checkpoint.step;
        self.history = std::mem::take(&mut checkpoint.history);
        checkpoint.restore(&mut self.variables, &mut self.sgd, &mut self.average)
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// What is deployed of a finished training: the average if there is to be one, else the last
    /// variables.
    ///
    /// # Errors
    /// If the average fits the network no longer, which nothing should bring about.
    pub fn into_variables(mut self) -> Result<Variables> {
        if self.recipe.average > 0.0 {
            self.variables.assign(self.average.values(), None)?;
        }
        Ok(self.variables)
    }

    /// Trains to the end, or until `stop` says so after a step.
    ///
    /// # Errors
    /// If the loss is no longer finite, or a checkpoint cannot be written.
    pub fn run(&mut self, stop: &dyn Fn() -> bool) -> Result<Ending> {
        let per_epoch = self.recipe.steps_per_epoch(self.pictures.len());
        let steps = self.recipe.steps(self.pictures.len());
        let checkpoint_steps = ((self.checkpoint_every * per_epoch as f64).round() as u64).max(1);
        let anchors = match self.recipe.loss {
            Loss::CacLearnt => self.variables.get(ANCHORS).shallow_clone(),
            Loss::Cac | Loss::CrossEntropy => loss::fixed_anchors(self.architecture.logits),
        };
        let what = if self.int8.is_some() { "fine-tuning for int8" } else { "training" };
        let bar = progress::bar(steps, what).with_position(self.step);
        bar.reset_eta();
        let mut order = Vec::new();
        let mut epoch = Epoch::default();
        let mut told = Instant::now();
        while self.step < steps {
            let (epoch_number, in_epoch) = (self.step / per_epoch, (self.step % per_epoch) as usize);
            if order.is_empty() || in_epoch == 0 {
                order = (0..self.pictures.len()).collect();
                order.shuffle(&mut self.recipe.random(Draw::Order, epoch_number));
                epoch = Epoch::default();
            }
            let batch = self.recipe.batch.min(order.len());
            let done = self.train_on(&order[in_epoch * batch..][..batch], &anchors, steps)?;
            self.history.add(self.step, per_epoch, done);
            self.step += 1;
            epoch.add(done);
            bar.inc(1);
            let of = format!("epoch {}/{}", epoch_number + 1, self.recipe.epochs.ceil());
            bar.set_message(format!("{of} {epoch}"));
            let last = self.step == steps;
            // Where there is no bar to see, as in a log file, a line now and then.
            let unseen = bar.is_hidden() && told.elapsed() >= TELL_EVERY;
            if self.step.is_multiple_of(per_epoch) || last || unseen {
                let left = indicatif::HumanDuration(bar.eta());
                bar.suspend(|| eprintln!("step {}/{steps} {of} {epoch}, {left} left", self.step));
                told = Instant::now();
            }
            let stopped = !last && stop();
            let due = last || stopped || self.step.is_multiple_of(checkpoint_steps);
            if let Some(path) = self.checkpoint.as_ref().filter(|_| due) {
                let (variables, sgd, average) = (&self.variables, &self.sgd, &self.average);
                Checkpoint::save(path, self.recipe, self.step, &self.history, variables, sgd, average)?;
            }
            if stopped {
                bar.finish_and_clear();
                return Ok(Ending::Interrupted);
            }
        }
        bar.finish_and_clear();
        Ok(Ending::Finished)
    }

    /// One step on these pictures.
    fn train_on(&mut self, indices: &[usize], anchors: &Tensor, steps: u64) -> Result<StepRecord> {
        let recipe = self.recipe;
        let mut random = recipe.random(Draw::Augment, self.step);
        let bytes = self.pictures.batch(indices);
        let size = i64::from(recipe.input.height);
        let mut varied = augment(&bytes, size, recipe.augment, recipe.flip, &mut random);
        let known = indices.len() as i64;
        if recipe.composites > 0.0 {
            let classes: Vec<usize> = indices.iter().map(|&index| self.pictures.classes[index]).collect();
            let count = (recipe.composites * indices.len() as f64).round() as usize;
            varied = Tensor::cat(&[&varied, &composites(&varied, &classes, count, &mut random)], 0);
        }
        let input = normalise(varied, &recipe.input);
        let targets = self.pictures.targets(indices);
        // libtorch's own numbers are for dropout only.
        let generator = seed_libtorch(recipe.seed ^ self.step.rotate_left(32));
        let logits = match &self.int8 {
            Some(int8) => int8.logits(&self.variables, &input),
            None => forward(self.architecture, &self.variables, &input, Pass::Training(recipe.precision)),
        };
        drop(generator);
        let evidence = match recipe.loss {
            Loss::Cac | Loss::CacLearnt => -loss::distances(&logits, anchors),
            Loss::CrossEntropy => logits,
        };
        let (of_known, of_composites) = (evidence.narrow(0, 0, known), evidence.slice(0, known, None, 1));
        let predicted = of_known.argmax(-1, false);
        let mut loss = match recipe.loss {
            Loss::Cac | Loss::CacLearnt => loss::class_anchor_loss(&-of_known, &targets),
            Loss::CrossEntropy => of_known.cross_entropy_for_logits(&targets),
        };
        if of_composites.size()[0] > 0 {
            loss += loss::undecided_loss(&of_composites) * recipe.composites;
        }
        let value = loss.double_value(&[]);
        ensure!(
            value.is_finite(),
            "the loss became {value} at step {} of {steps}: the training diverged. Try a smaller --learning-rate (it is {})",
            self.step + 1,
            recipe.learning_rate
        );
        loss.backward();
        let schedule = if self.int8.is_some() { cosine } else { one_cycle };
        let rate = schedule(recipe.learning_rate, self.step as f64 / steps as f64);
        self.sgd.step(&self.variables, rate);
        if recipe.average > 0.0 {
            self.average.add(&self.variables, self.step);
        }
        let correct = predicted.eq_tensor(&targets).sum(Kind::Int64).int64_value(&[]) as usize;
        Ok(StepRecord { loss: value, correct, pictures: indices.len(), learning_rate: rate })
    }
}

/// Normalises pictures of 0 to 1 (B×C×H×W) as the model's input is, channels last in memory.
pub fn normalise(pictures: Tensor, input: &InputSpec) -> Tensor {
    let channels = input.channels() as i64;
    let per_channel = |values: &[f32]| Tensor::from_slice(values).view([1, channels, 1, 1]);
    let mut pictures = crate::variables::channels_last(&pictures);
    pictures -= per_channel(&input.mean);
    pictures /= per_channel(&input.std);
    pictures
}

/// What the progress line says of an epoch so far, as far as this process trained it.
struct Epoch {
    start: Instant,
    loss: f64,
    correct: usize,
    pictures: usize,
}

impl Default for Epoch {
    fn default() -> Self {
        Self { start: Instant::now(), loss: 0.0, correct: 0, pictures: 0 }
    }
}

impl Epoch {
    fn add(&mut self, done: StepRecord) {
        self.loss += done.loss * done.pictures as f64;
        self.correct += done.correct;
        self.pictures += done.pictures;
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pictures = self.pictures.max(1) as f64;
        write!(
            formatter,
            "loss {:.3} accuracy {:.3} {:.0} pictures/s",
            self.loss / pictures,
            self.correct as f64 / pictures,
            pictures / self.start.elapsed().as_secs_f64().max(1e-9)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones;
    use crate::history::EpochRecord;
    use crate::recipe::tests::recipe;
    use rand::Rng;
    use std::cell::Cell;
    use tempfile::TempDir;

    /// Noise around dark grey and around light grey, 8×8.
    fn dark_and_light() -> Pictures {
        let mut random = recipe().random(Draw::Order, 99);
        let mut pictures = Pictures { shape: [8, 8, 3], ..Pictures::default() };
        for index in 0..40 {
            let class = index % 2;
            let middle = [60u8, 190][class];
            pictures.bytes.extend((0..192).map(|_| middle + random.random_range(0..60)));
            pictures.classes.push(class);
        }
        pictures
    }

    fn training<'a>(
        architecture: &'a Architecture,
        recipe: &'a Recipe,
        pictures: &'a Pictures,
        folder: &TempDir,
    ) -> Training<'a> {
        tch::set_num_threads(recipe.threads as i32);
        let variables = Variables::initialise(architecture, recipe.seed);
        Training::new(architecture, recipe, pictures, folder.path().join("checkpoint"), variables)
    }

    fn assert_same(left: &Variables, right: &Variables) {
        for (name, value) in left.by_name() {
            assert_eq!(value, right.get(name), "{name}");
        }
    }

    #[test]
    fn a_training_learns_and_one_interrupted_and_resumed_gives_the_same_bits() {
        // EfficientNet has dropout and a backbone rate, tiny has neither.
        let architectures =
            [backbones::tiny([3, 8, 8], 2, 1.0), backbones::efficientnet_lite0([3, 8, 8], 2, 16)];
        for architecture in &architectures {
            let (recipe, pictures) =
                (Recipe { backbone_rate: 0.5, average: 0.9, ..recipe() }, dark_and_light());
            let folder = tempfile::tempdir().unwrap();
            let mut whole = training(architecture, &recipe, &pictures, &folder);
            assert_eq!(whole.run(&|| false).unwrap(), Ending::Finished);
            assert_eq!(whole.step(), 15);

            // Stopped in the middle of an epoch, twice, each time continued by another "process".
            let mut steps_done = 0;
            let mut last = None;
            for stop_after in [4u64, 7, 100] {
                let mut part = training(architecture, &recipe, &pictures, &folder);
                if steps_done > 0 {
                    part.resume(Checkpoint::load(part.checkpoint.as_ref().unwrap()).unwrap()).unwrap();
                }
                assert_eq!(part.step(), steps_done);
                let step = Cell::new(steps_done);
                let ending = part.run(&|| {
                    step.set(step.get() + 1);
                    step.get() == stop_after
                });
                let expected = if stop_after < 15 { Ending::Interrupted } else { Ending::Finished };
                assert_eq!(ending.unwrap(), expected);
                steps_done = part.step();
                last = Some(part);
            }
            let last = last.unwrap();
            assert_same(&whole.variables, &last.variables);
            assert_eq!(whole.history.epochs.len(), 3);
            for (one, other) in whole.history.epochs.iter().zip(&last.history.epochs) {
                let counts = |epoch: &EpochRecord| (epoch.epoch, epoch.end, epoch.pictures, epoch.correct);
                assert_eq!(counts(one), counts(other));
                // A number may lose its last bit on its way through the checkpoint.
                assert!((one.loss_sum - other.loss_sum).abs() < 1e-9, "{one:?} {other:?}");
                assert!((one.learning_rate - other.learning_rate).abs() < 1e-9, "{one:?} {other:?}");
            }
            let weight = whole.variables.get("classify.weight").copy();
            let average = whole.into_variables().unwrap();
            assert_same(&average, &last.into_variables().unwrap());
            assert_ne!(average.get("classify.weight"), &weight);
        }
    }

    #[test]
    fn a_training_tells_dark_from_light() {
        let architecture = backbones::tiny([3, 8, 8], 2, 1.0);
        let (recipe, pictures) = (Recipe { epochs: 12.0, ..recipe() }, dark_and_light());
        let folder = tempfile::tempdir().unwrap();
        let mut training = training(&architecture, &recipe, &pictures, &folder);
        training.run(&|| false).unwrap();
        let all: Vec<usize> = (0..pictures.len()).collect();
        let input = normalise(pictures.batch(&all).to_kind(Kind::Float) / 255.0, &recipe.input);
        let logits = tch::no_grad(|| forward(&architecture, &training.variables, &input, Pass::Evaluation));
        let correct = logits.argmax(-1, false).eq_tensor(&pictures.targets(&all)).sum(Kind::Int64);
        assert!(correct.int64_value(&[]) >= 38, "{correct:?}");
    }

    #[test]
    fn a_training_that_diverges_is_an_error_that_says_so() {
        let architecture = backbones::tiny([3, 8, 8], 2, 1.0);
        let (recipe, pictures) = (Recipe { learning_rate: 1e30, ..recipe() }, dark_and_light());
        let folder = tempfile::tempdir().unwrap();
        let error = training(&architecture, &recipe, &pictures, &folder).run(&|| false).unwrap_err();
        assert!(error.to_string().contains("smaller --learning-rate"), "{error}");
    }

    #[test]
    fn a_checkpoint_of_another_training_is_refused() {
        let architecture = backbones::tiny([3, 8, 8], 2, 1.0);
        let (recipe, pictures) = (recipe(), dark_and_light());
        let folder = tempfile::tempdir().unwrap();
        let mut first = training(&architecture, &recipe, &pictures, &folder);
        first.run(&|| true).unwrap();
        let other = Recipe { batch: 4, ..recipe.clone() };
        let mut second = training(&architecture, &other, &pictures, &folder);
        let error = second.resume(Checkpoint::load(first.checkpoint.as_ref().unwrap()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("batch (8 in the checkpoint, 4 now)"), "{error}");
    }
}

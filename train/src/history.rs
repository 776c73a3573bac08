//! What a training did, epoch by epoch. It is kept in the checkpoint, so that one that was interrupted
//! has the whole of it.

use serde::{Deserialize, Serialize};

/// An epoch, or as much of it as was trained. Sums, so that an interrupted one goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 0.
    pub epoch: u64,
    /// Epochs of the whole training that were done at its end: `epoch + 1` if it is whole.
    pub end: f64,
    /// Pictures that were trained on in it.
    pub pictures: usize,
    /// How many of them were given their class, while training.
    pub correct: usize,
    /// The sum of their losses.
    pub loss_sum: f64,
    /// The learning rate of its last step.
    pub learning_rate: f64,
}

impl EpochRecord {
    /// Mean loss of a picture; smaller is better.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.pictures.max(1) as f64
    }

    /// Share of training pictures given their class, varied as they are in training; larger is better.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.pictures.max(1) as f64
    }
}

/// One step of a training.
#[derive(Clone, Copy, Debug)]
pub struct StepRecord {
    /// Mean loss of its pictures.
    pub loss: f64,
    /// How many of them were given their class.
    pub correct: usize,
    /// How many there were.
    pub pictures: usize,
    /// The learning rate.
    pub learning_rate: f64,
}

/// The epochs in order. Of a training whose checkpoint was made before there was a history, the first
/// ones are missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    /// Not empty once a step was done.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    /// Writes the `step`-th step down (from 0), of `per_epoch` an epoch.
    pub fn add(&mut self, step: u64, per_epoch: u64, done: StepRecord) {
        let epoch = step / per_epoch;
        if self.epochs.last().is_none_or(|last| last.epoch != epoch) {
            self.epochs.push(EpochRecord { epoch, ..EpochRecord::default() });
        }
        if let Some(record) = self.epochs.last_mut() {
            record.end = (step + 1) as f64 / per_epoch as f64;
            record.pictures += done.pictures;
            record.correct += done.correct;
            record.loss_sum += done.loss * done.pictures as f64;
            record.learning_rate = done.learning_rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_epochs_and_go_on_after_their_json() {
        let done = |loss, correct, learning_rate| StepRecord { loss, correct, pictures: 4, learning_rate };
        let mut history = History::default();
        history.add(0, 2, done(3.0, 1, 0.1));
        // Interrupted in the middle of an epoch.
        let mut history: History = serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
        history.add(1, 2, done(1.0, 2, 0.2));
        history.add(2, 2, done(0.5, 4, 0.05));
        let [first, second] = history.epochs.as_slice() else { panic!("{history:?}") };
        assert_eq!((first.epoch, first.end, first.loss(), first.accuracy()), (0, 1.0, 2.0, 0.375));
        assert_eq!((second.epoch, second.end, second.loss(), second.accuracy()), (1, 1.5, 0.5, 1.0));
        assert_eq!((first.learning_rate, second.learning_rate), (0.2, 0.05));
    }
}

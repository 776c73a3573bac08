//! How long each layer of the integer part takes, for `bench --profile`.

use super::IntegerOperation;
use anchorwatch_kernels::Workers;
use std::time::{Duration, Instant};

impl IntegerOperation {
    /// The least time of each layer in so many runs on a picture of H×W×C bytes; whatever else the
    /// machine does only adds to it.
    pub(in crate::network) fn profile(&self, pixels: &[u8], runs: usize, threads: usize) -> Vec<Duration> {
        let workers = Workers::new(threads);
        let mut memory = self.program.memory(workers.count());
        let steps = self.program.steps().len();
        let mut least = vec![Duration::MAX; steps];
        for _ in 0..runs.max(1) {
            for (step, least) in least.iter_mut().enumerate() {
                let started = Instant::now();
                self.program.run_step(step, pixels, &mut memory, &workers);
                *least = (*least).min(started.elapsed());
            }
        }
        let mut layers = vec![Duration::ZERO; self.step_layers.last().map_or(0, |last| last + 1)];
        for (layer, time) in self.step_layers.iter().zip(least) {
            layers[*layer] += time;
        }
        layers
    }
}

//! The integer part as an operation of tract's.

use super::features::Features;
use super::recognise::{Exit, IntegerPart};
use anchorwatch_kernels::{Memory, Program, Quantization, Workers};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tract_onnx::tract_core::internal::*;

/// What leaves the integer part: as f32 tensors of N×C×H×W, or N×(C·H·W) where flat.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exits(Vec<ExitTensor>);

#[derive(Clone, Debug, PartialEq)]
struct ExitTensor {
    name: String,
    /// The tensor and what its bytes stand for; `None` for the logits.
    tensor: Option<(usize, Quantization)>,
    /// Height, width, channels.
    shape: [usize; 3],
    flat: bool,
}

impl IntegerPart {
    /// Height, width, channels of what leaves.
    pub(super) fn shape(&self, exit: &Exit) -> [usize; 3] {
        match exit.tensor {
            Some(tensor) => self.tensors[tensor].shape,
            None => self.layers.last().map_or([0; 3], |layer| layer.shape),
        }
    }
}

impl Exits {
    pub(super) fn new(part: &IntegerPart) -> Self {
        let exits = part.exits.iter().map(|exit| ExitTensor {
            name: exit.name.clone(),
            tensor: exit.tensor.map(|tensor| (tensor, part.tensors[tensor].quantization())),
            shape: part.shape(exit),
            flat: exit.flat,
        });
        Self(exits.collect())
    }
}

impl ExitTensor {
    fn dims(&self) -> TVec<usize> {
        let [height, width, channels] = self.shape;
        if self.flat { tvec![1, channels * height * width] } else { tvec![1, channels, height, width] }
    }

    /// Its numbers, in the order of [`dims`](Self::dims).
    ///
    /// # Panics
    /// If there is not room for just as many.
    fn read(&self, program: &Program, memory: &Memory, values: &mut [f32]) {
        let Some((tensor, quantization)) = self.tensor else {
            return values.copy_from_slice(memory.logits());
        };
        let [height, width, channels] = self.shape;
        let bytes = program.tensor(tensor, memory);
        for (channel, plane) in values.chunks_exact_mut(height * width).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(bytes.chunks_exact(channels)) {
                let stored = f32::from(pixel[channel]);
                *value = (stored - f32::from(quantization.zero_point)) * quantization.scale;
            }
        }
    }
}

/// Runs the integer part on pixels of 1×H×W×C.
#[derive(Clone)]
pub(in crate::network) struct IntegerOperation {
    pub(super) program: Arc<Program>,
    exits: Exits,
    features: Option<Features>,
    shape: [usize; 3],
    /// The layer that each step of the program belongs to.
    pub(super) step_layers: Arc<[usize]>,
    /// How many threads a session made from now on has.
    threads: Arc<AtomicUsize>,
}

impl IntegerOperation {
    pub(super) fn new(
        program: Arc<Program>,
        exits: Exits,
        features: Option<Features>,
        shape: [usize; 3],
        step_layers: Arc<[usize]>,
    ) -> Self {
        Self { program, exits, features, shape, step_layers, threads: Arc::new(AtomicUsize::new(1)) }
    }

    /// How many numbers the embedding has; 0 where there is none.
    pub(in crate::network) fn embedding_size(&self) -> usize {
        self.features.map_or(0, |features| features.size())
    }

    /// Height, width, channels of the pixels.
    pub(in crate::network) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Memory and threads of their own.
    pub(in crate::network) fn session(&self) -> IntegerSession {
        let workers = Workers::new(self.threads.load(Ordering::Relaxed));
        let memory = self.program.memory(workers.count());
        IntegerSession {
            program: self.program.clone(),
            exits: self.exits.clone(),
            features: self.features,
            memory,
            workers,
        }
    }

    /// How many threads a session made from now on has.
    pub(in crate::network) fn set_threads(&self, threads: usize) {
        self.threads.store(threads, Ordering::Relaxed);
    }
}

impl fmt::Debug for IntegerOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IntegerOperation({} layers)", self.program.steps().len())
    }
}

impl PartialEq for IntegerOperation {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.program, &other.program)
    }
}

impl Eq for IntegerOperation {}

impl Op for IntegerOperation {
    fn name(&self) -> StaticName {
        "AnchorwatchInt8".into()
    }

    op_as_typed_op!();
}

impl EvalOp for IntegerOperation {
    not_out_of_plan!();

    fn state(&self, _context: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(self.session())))
    }
}

impl TypedOp for IntegerOperation {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.exits.0.iter().map(|exit| f32::fact(exit.dims())).collect())
    }

    as_op!();
}

/// A session's memory and threads: the state of the operation in tract.
pub(in crate::network) struct IntegerSession {
    program: Arc<Program>,
    exits: Exits,
    features: Option<Features>,
    memory: Memory,
    workers: Workers,
}

impl IntegerSession {
    /// Runs the part on pixels of H×W×C bytes, where it is all of the network. Nothing is allocated.
    ///
    /// # Panics
    /// If the number of pixels is not that of the input, or of logits not that of the output.
    pub(in crate::network) fn logits(&mut self, pixels: &[u8], logits: &mut [f32]) {
        self.program.run(pixels, &mut self.memory, &self.workers);
        for exit in &self.exits.0 {
            exit.read(&self.program, &self.memory, logits);
        }
    }

    /// The embedding of the picture that was run last. Nothing is allocated.
    pub(in crate::network) fn embedding(&self, embedding: &mut [f32]) {
        if let Some(features) = &self.features {
            features.read(&self.program, &self.memory, embedding);
        }
    }
}

impl fmt::Debug for IntegerSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IntegerSession")
    }
}

impl Clone for IntegerSession {
    /// Nothing goes from one picture to the next, so a clone is as good as new.
    fn clone(&self) -> Self {
        let workers = Workers::new(self.workers.count());
        let memory = self.program.memory(workers.count());
        Self {
            program: self.program.clone(),
            exits: self.exits.clone(),
            features: self.features,
            memory,
            workers,
        }
    }
}

impl OpState for IntegerSession {
    fn eval(
        &mut self,
        _context: &EvalContext,
        _operation: &dyn Op,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let pixels = inputs[0].try_as_plain_ram()?;
        self.program.run(pixels.as_slice::<u8>()?, &mut self.memory, &self.workers);
        let tensor = |exit: &ExitTensor| {
            let dims = exit.dims();
            let mut values = vec![0.0f32; dims.iter().product()];
            exit.read(&self.program, &self.memory, &mut values);
            Ok(Tensor::from_shape(&dims, &values)?.into_tvalue())
        };
        self.exits.0.iter().map(tensor).collect()
    }

    fn reset_lanes(&mut self, _lanes: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

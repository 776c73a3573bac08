//! The integer part as an operation of tract's.

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

    fn read(&self, program: &Program, memory: &Memory) -> TractResult<Tensor> {
        let Some((tensor, quantization)) = self.tensor else {
            return Tensor::from_shape(&self.dims(), memory.logits());
        };
        let [height, width, channels] = self.shape;
        let bytes = program.tensor(tensor, memory);
        let mut values = Vec::with_capacity(bytes.len());
        for channel in 0..channels {
            for position in 0..height * width {
                let value = f32::from(bytes[position * channels + channel]);
                values.push((value - f32::from(quantization.zero_point)) * quantization.scale);
            }
        }
        Tensor::from_shape(&self.dims(), &values)
    }
}

/// Runs the integer part on pixels of 1×H×W×C.
#[derive(Clone)]
pub(in crate::network) struct IntegerOperation {
    program: Arc<Program>,
    exits: Exits,
    shape: [usize; 3],
    /// How many threads a session made from now on has.
    threads: Arc<AtomicUsize>,
}

impl IntegerOperation {
    pub(super) fn new(program: Arc<Program>, exits: Exits, shape: [usize; 3]) -> Self {
        Self { program, exits, shape, threads: Arc::new(AtomicUsize::new(1)) }
    }

    /// Height, width, channels of the pixels.
    pub(in crate::network) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Where the number of threads of the next session is set.
    pub(in crate::network) fn threads(&self) -> Arc<AtomicUsize> {
        self.threads.clone()
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
        let workers = Workers::new(self.threads.load(Ordering::Relaxed));
        let memory = self.program.memory(workers.count());
        Ok(Some(Box::new(State { program: self.program.clone(), memory, workers })))
    }
}

impl TypedOp for IntegerOperation {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.exits.0.iter().map(|exit| f32::fact(exit.dims())).collect())
    }

    as_op!();
}

/// A session's memory and threads.
struct State {
    program: Arc<Program>,
    memory: Memory,
    workers: Workers,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("State")
    }
}

impl Clone for State {
    /// Nothing goes from one picture to the next, so a clone is as good as new.
    fn clone(&self) -> Self {
        let workers = Workers::new(self.workers.count());
        Self { program: self.program.clone(), memory: self.program.memory(workers.count()), workers }
    }
}

impl OpState for State {
    fn eval(
        &mut self,
        _context: &EvalContext,
        operation: &dyn Op,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let operation = operation.downcast_ref::<IntegerOperation>().context("another operation's state")?;
        let program = &self.program;
        let pixels = inputs[0].try_as_plain_ram()?;
        program.run(pixels.as_slice::<u8>()?, &mut self.memory, &self.workers);
        let exits = operation.exits.0.iter();
        exits.map(|exit| Ok(exit.read(program, &self.memory)?.into_tvalue())).collect()
    }

    fn reset_lanes(&mut self, _lanes: &[LaneId]) -> TractResult<()> {
        Ok(())
    }
}

//! A whole network: layers in the order they run, and where their tensors lie in one piece of
//! memory that is laid out once. What a layer computes is in the layers' own modules.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::aligned::Workspace;
use crate::workers::Workers;
use crate::{Addition, Convolution, Dense, GlobalAveragePool, MaxPool, PixelTables};

/// What one step does.
pub enum Operation {
    /// Takes the picture's pixels.
    Pixels(PixelTables),
    /// One input.
    Convolution(Box<Convolution>),
    /// One input; a layer that [has logits](Dense::has_logits) has no output tensor.
    Dense(Box<Dense>),
    /// Two inputs.
    Addition(Addition),
    /// One input.
    GlobalAveragePool(GlobalAveragePool),
    /// One input.
    MaxPool(MaxPool),
    /// Each byte of the one input is replaced by what the table says.
    Table(Box<[u8; 256]>),
}

/// One layer with its tensors.
pub struct Step {
    /// What it does.
    pub operation: Operation,
    /// The tensors it reads, by number: none, one or two.
    pub inputs: Vec<usize>,
    /// The tensor it makes, by number; `None` for logits.
    pub output: Option<usize>,
}

/// A network that is ready to run.
pub struct Program {
    steps: Vec<Step>,
    /// Where each tensor lies.
    places: Vec<core::ops::Range<usize>>,
    arena_bytes: usize,
    logits: usize,
}

/// What a program runs in; of each thread that runs it.
pub struct Memory {
    arena: Vec<u8>,
    workspace: Workspace,
    logits: Vec<f32>,
}

/// Tensors begin at multiples of this: a cache line.
const ALIGNMENT: usize = 64;

impl Program {
    /// Lays the memory out. `lengths` are the tensors' bytes by number; the tensors in `kept` are
    /// still there when the program has run; `logits` is how many there are (0 for none).
    ///
    /// # Panics
    ///
    /// If a step reads a tensor that no earlier step makes, or there is no such tensor: a mistake
    /// of whoever made the steps. Lengths that do not fit a layer panic when it runs.
    pub fn new(steps: Vec<Step>, lengths: &[usize], kept: &[usize], logits: usize) -> Self {
        let uses: Vec<Use> = steps.iter().map(|step| (&step.inputs[..], step.output)).collect();
        let (places, arena_bytes) = lay_out(&uses, lengths, kept, ALIGNMENT);
        Self { steps, places, arena_bytes, logits }
    }

    /// The layers, in the order they run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Bytes of all tensors together; those that are not needed at the same time share their place.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// What layers need besides, with so many workers.
    pub fn workspace_bytes(&self, workers: usize) -> usize {
        let bytes = |step: &Step| match &step.operation {
            Operation::Convolution(layer) => layer.workspace_bytes(workers),
            Operation::Dense(layer) => layer.workspace_bytes(workers),
            Operation::GlobalAveragePool(layer) => layer.workspace_bytes(),
            Operation::Pixels(_) | Operation::Addition(_) | Operation::MaxPool(_) | Operation::Table(_) => 0,
        };
        self.steps.iter().map(bytes).max().unwrap_or(0)
    }

    /// Memory to run in, with so many workers. Running allocates nothing more.
    pub fn memory(&self, workers: usize) -> Memory {
        Memory {
            arena: vec![0; self.arena_bytes],
            workspace: Workspace::with_bytes(self.workspace_bytes(workers)),
            logits: vec![0.0; self.logits],
        }
    }

    /// Runs all layers on a picture: height × width × channels bytes.
    ///
    /// # Panics
    ///
    /// If the picture or a tensor has another length than a layer expects, or the memory is that of
    /// another program.
    pub fn run(&self, pixels: &[u8], memory: &mut Memory, workers: &Workers) {
        (0..self.steps.len()).for_each(|index| self.run_step(index, pixels, memory, workers));
    }

    /// Runs one layer, on what the layers before it have left in the memory.
    ///
    /// # Panics
    ///
    /// As for [`Self::run`].
    pub fn run_step(&self, index: usize, pixels: &[u8], memory: &mut Memory, workers: &Workers) {
        let Memory { arena, workspace, logits } = memory;
        let step = &self.steps[index];
        let Some(output) = step.output else {
            let Operation::Dense(layer) = &step.operation else {
                unreachable!("only dense layers give logits")
            };
            return layer.run_logits(&arena[self.places[step.inputs[0]].clone()], logits, workspace, workers);
        };
        let place = &self.places[output];
        let (before, rest) = arena.split_at_mut(place.start);
        let (output, after) = rest.split_at_mut(place.len());
        let input = |number: usize| {
            let from = &self.places[step.inputs[number]];
            // Living tensors do not overlap: it lies on one side.
            if from.end <= place.start {
                &before[from.clone()]
            } else {
                &after[from.start - place.end..][..from.len()]
            }
        };
        match &step.operation {
            Operation::Pixels(tables) => tables.run(pixels, output, workers),
            Operation::Convolution(layer) => layer.run(input(0), output, workspace, workers),
            Operation::Dense(layer) => layer.run(input(0), output, workspace, workers),
            Operation::Addition(layer) => layer.run(input(0), input(1), output, workers),
            Operation::GlobalAveragePool(layer) => layer.run(input(0), output, workspace),
            Operation::MaxPool(layer) => layer.run(input(0), output, workers),
            Operation::Table(table) => {
                for (to, from) in output.iter_mut().zip(input(0)) {
                    *to = table[usize::from(*from)];
                }
            }
        }
    }

    /// A tensor that is kept, after a run: height × width × channels.
    ///
    /// # Panics
    ///
    /// If there is no such tensor.
    pub fn tensor<'a>(&self, number: usize, memory: &'a Memory) -> &'a [u8] {
        &memory.arena[self.places[number].clone()]
    }
}

/// The tensors that a step reads, and the one that it makes.
pub(crate) type Use<'a> = (&'a [usize], Option<usize>);

/// Where each tensor lies, and the bytes of all. Those that are needed at the same time do not overlap;
/// the `kept` ones are needed to the end.
///
/// # Panics
///
/// As [`Program::new`].
pub(crate) fn lay_out(
    steps: &[Use],
    lengths: &[usize],
    kept: &[usize],
    alignment: usize,
) -> (Vec<core::ops::Range<usize>>, usize) {
    let mut last_use = vec![0; lengths.len()];
    for (index, (inputs, _)) in steps.iter().enumerate() {
        inputs.iter().for_each(|&tensor| last_use[tensor] = index);
    }
    kept.iter().for_each(|&tensor| last_use[tensor] = steps.len());
    let mut places = vec![0..0; lengths.len()];
    let mut made = vec![false; lengths.len()];
    let mut living: Vec<usize> = Vec::new();
    let mut arena_bytes = 0;
    for (index, (inputs, output)) in steps.iter().enumerate() {
        assert!(inputs.iter().all(|&tensor| made[tensor]), "step {index} reads what is not made");
        let Some(output) = *output else { continue };
        living.retain(|&tensor| last_use[tensor] >= index);
        // The lowest gap between living tensors that is large enough.
        living.sort_by_key(|&tensor| places[tensor].start);
        let mut start: usize = 0;
        for &tensor in &living {
            if start + lengths[output] <= places[tensor].start {
                break;
            }
            start = start.max(places[tensor].end.next_multiple_of(alignment));
        }
        places[output] = start..start + lengths[output];
        arena_bytes = arena_bytes.max(places[output].end);
        made[output] = true;
        living.push(output);
    }
    (places, arena_bytes)
}

impl Memory {
    /// The logits of the last run; empty for a network without.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Isa, Quantization};
    use proptest::collection::vec as vector;
    use proptest::prelude::*;

    fn table(add: u8) -> Operation {
        Operation::Table(Box::new(core::array::from_fn(|value| (value as u8).wrapping_add(add))))
    }

    fn step(operation: Operation, inputs: &[usize], output: usize) -> Step {
        Step { operation, inputs: inputs.to_vec(), output: Some(output) }
    }

    #[test]
    fn a_chain_needs_room_for_two_tensors_only() {
        let identity = core::array::from_fn(|value| value as u8);
        let mut steps = vec![step(Operation::Pixels(PixelTables::new(vec![identity; 3]).unwrap()), &[], 0)];
        steps.extend((1..10).map(|number| step(table(1), &[number - 1], number)));
        let program = Program::new(steps, &[48; 10], &[9], 0);
        assert_eq!(program.arena_bytes(), 64 + 48);
        let mut memory = program.memory(1);
        program.run(&[7; 48], &mut memory, &Workers::one());
        assert_eq!(program.tensor(9, &memory), [16; 48]);
    }

    proptest! {
        /// Random graphs give what a run with a place for every tensor gives.
        #[test]
        fn living_tensors_never_overlap(
            nodes in vector((any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 1..20),
            pixels in vector(any::<u8>(), 12..=12),
        ) {
            let unit = Quantization { scale: 1.0, zero_point: 0 };
            let identity = core::array::from_fn(|value| value as u8);
            let pixel_tables = PixelTables::new(vec![identity; 3]).unwrap();
            let mut steps = vec![step(Operation::Pixels(pixel_tables), &[], 0)];
            let mut tensors = vec![pixels.clone()];
            for (add, one, other, is_sum) in nodes {
                let (one, other) = (one.index(tensors.len()), other.index(tensors.len()));
                let (operation, inputs, values): (_, _, Vec<u8>) = if is_sum {
                    let sum = Addition::new([unit; 2], unit, &Activation::None, Isa::Scalar).unwrap();
                    let values = tensors[one].iter().zip(&tensors[other]).map(|(a, b)| a.saturating_add(*b));
                    (Operation::Addition(sum), vec![one, other], values.collect())
                } else {
                    let values = tensors[one].iter().map(|value| value.wrapping_add(add));
                    (table(add), vec![one], values.collect())
                };
                steps.push(step(operation, &inputs, tensors.len()));
                tensors.push(values);
            }
            let kept = [0, tensors.len() / 2, tensors.len() - 1];
            let program = Program::new(steps, &vec![12; tensors.len()], &kept, 0);
            let mut memory = program.memory(1);
            program.run(&pixels, &mut memory, &Workers::one());
            for number in kept {
                prop_assert_eq!(program.tensor(number, &memory), tensors[number].as_slice());
            }
        }
    }
}

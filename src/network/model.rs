//! A model made ready to run with tract, and the sessions that run it.

use super::layers::{self, LayerReport};
use super::model_file::{digest, in_file, read_bytes};
use super::{Metadata, ModelError, ModelFile, guard, integer};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tract_onnx::pb::{GraphProto, tensor_shape_proto::dimension::Value as Dimension, type_proto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;

/// The default model, made by the trainer: `models/CARD.md` says from what and how.
static EMBEDDED: &[u8] = include_bytes!("../../models/default.onnx");

/// A model ready to run. Cheap to clone; each thread makes a [`Session`] of its own.
///
/// The quantized part of a network runs in integers, on `anchorwatch-kernels`; what is left is
/// run by tract in float. [`layers`](Self::layers) says which is which.
#[derive(Clone)]
pub struct Model {
    metadata: Arc<Metadata>,
    id: String,
    layers: Arc<[LayerReport]>,
    plan: Arc<TypedSimplePlan>,
    /// How many threads a session has.
    threads: usize,
    integer: Integer,
}

/// How much of a network runs in integers.
#[derive(Clone)]
enum Integer {
    /// Nothing: it is not quantized.
    None,
    /// The layers up to where tract takes over.
    Part(Arc<Mutex<integer::IntegerOperation>>),
    /// The whole network.
    All(Arc<Mutex<integer::IntegerOperation>>),
}

impl Integer {
    /// The operation, which the number of threads is told to; no one else tells it another one
    /// while it is borrowed.
    fn operation(&self) -> Option<MutexGuard<'_, integer::IntegerOperation>> {
        match self {
            Self::None => None,
            Self::Part(lock) | Self::All(lock) => Some(lock.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Model {
    /// Reads a model file and makes it ready.
    ///
    /// # Errors
    /// If the file cannot be read or used; the message names it and says what to do.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        Self::decode(&read_bytes(path)?).map_err(|why| in_file(path, why))
    }

    /// The same from bytes in memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        Self::new(&ModelFile::decode(bytes)?, digest(bytes))
    }

    /// The default model that is part of the program.
    ///
    /// # Errors
    /// If the program was built without one.
    pub fn embedded() -> Result<Self, ModelError> {
        if EMBEDDED.is_empty() {
            return Err(ModelError::NotEmbedded);
        }
        Self::decode(EMBEDDED)
    }

    /// Makes a model ready that is not on the disk.
    ///
    /// # Errors
    /// If its block contradicts itself, or the network cannot be run.
    pub fn from_file(file: &ModelFile) -> Result<Self, ModelError> {
        Self::new(file, digest(&file.encode()?))
    }

    /// The same, but all of it run by tract as it is, nothing in integers: to compare with.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn stock(file: &ModelFile) -> Result<Self, ModelError> {
        check_graph(graph(file)?, &file.metadata)?;
        Self::by_tract(file, digest(&file.encode()?))
    }

    fn new(file: &ModelFile, id: String) -> Result<Self, ModelError> {
        check_graph(graph(file)?, &file.metadata)?;
        let Some(divided) = integer::divide(&file.onnx, &file.metadata.input)? else {
            return Self::by_tract(file, id);
        };
        let integer::Divided { operation, mut layers, rest } = divided;
        let rest = rest.map(|rest| {
            guard::catch(READING, || {
                tract_onnx::onnx().model_for_proto_model(&rest)?.into_typed()?.into_decluttered()
            })
        });
        let rest = rest.transpose()?;
        if let Some(rest) = &rest {
            layers.extend(guard::catch(READING, || layers::reports(rest))?);
        }
        let model = guard::catch(READING, || joined(operation.clone(), rest.as_ref()))?;
        let mut model = Self::ready(file, id, model, layers)?;
        let operation = Arc::new(Mutex::new(operation));
        model.integer = if rest.is_some() { Integer::Part(operation) } else { Integer::All(operation) };
        Ok(model)
    }

    fn by_tract(file: &ModelFile, id: String) -> Result<Self, ModelError> {
        let input = &file.metadata.input;
        let shape = [1, input.channels(), input.height as usize, input.width as usize];
        let model = guard::catch(READING, || {
            let model = tract_onnx::onnx().model_for_proto_model(&file.onnx)?;
            model.with_input_fact(0, f32::fact(shape).into())?.into_typed()?.into_decluttered()
        })?;
        let layers = guard::catch(READING, || layers::reports(&model))?;
        Self::ready(file, id, model, layers)
    }

    fn ready(
        file: &ModelFile,
        id: String,
        model: TypedModel,
        layers: Vec<LayerReport>,
    ) -> Result<Self, ModelError> {
        let metadata = &file.metadata;
        let output = model.output_fact(0).map_err(|error| guard::failed(READING, error))?;
        let (found, logits) = (format!("{:?}", output.shape), metadata.logits());
        if output.shape.as_concrete().is_none_or(|shape| shape.iter().product::<usize>() != logits) {
            let what = format!("the network's output is {found}, and the class centres have {logits} logits");
            return Err(ModelError::Shape(what));
        }
        if output.datum_type != f32::datum_type() {
            return Err(ModelError::Shape(format!("the network gives {:?}, not f32", output.datum_type)));
        }
        let plan = guard::catch(PREPARING, || model.into_optimized()?.into_runnable())?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (metadata, layers) = (Arc::new(metadata.clone()), layers.into());
        Ok(Self { metadata, id, layers, plan, threads, integer: Integer::None })
    }

    /// The same model, whose sessions each have so many threads for the integer part (tract's own
    /// part has one always). Without this it is the number of processors.
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Classes, centres, threshold, input: everything beside the network.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The model's name in logs: the first 12 hexadecimal digits of its file's SHA-256.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The nodes of the network, in the order they run.
    pub fn layers(&self) -> &[LayerReport] {
        &self.layers
    }

    /// Whether every layer runs in integers: the logits then have the same bits on every processor.
    pub fn all_integer(&self) -> bool {
        matches!(self.integer, Integer::All(_))
    }

    /// How long each of the first [`layers`](Self::layers) takes on a picture of H×W×C bytes, those
    /// that run in integers: the least of so many runs. What tract runs is not in it.
    ///
    /// # Errors
    /// If the number of bytes is not that of the input.
    pub fn profile(&self, pixels: &[u8], runs: usize) -> Result<Vec<Duration>, ModelError> {
        let input = &self.metadata.input;
        let expected = input.height as usize * input.width as usize * input.channels();
        if pixels.len() != expected {
            return Err(ModelError::Pixels { expected, got: pixels.len() });
        }
        let Some(integer) = self.integer.operation().map(|integer| integer.clone()) else {
            return Ok(Vec::new());
        };
        guard::catch(RUNNING, || Ok(integer.profile(pixels, runs, self.threads)))
    }

    /// A session, for one thread of the caller.
    ///
    /// # Errors
    /// If tract cannot set the network up.
    pub fn session(&self) -> Result<Session, ModelError> {
        let runner = {
            // Held until the session is made, so that no other one changes the number.
            let integer = self.integer.operation();
            if let Some(integer) = &integer {
                integer.set_threads(self.threads);
            }
            match (&self.integer, integer) {
                (Integer::All(_), Some(integer)) => Runner::Integer(integer.session()),
                _ => Runner::Plan(self.plan.spawn().map_err(|error| guard::failed(PREPARING, error))?),
            }
        };
        let input = &self.metadata.input;
        let tables = input
            .mean
            .iter()
            .zip(&input.std)
            .map(|(mean, std)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std));
        Ok(Session {
            runner,
            tables: matches!(self.integer, Integer::None).then(|| tables.collect()),
            size: [input.height as usize, input.width as usize, input.channels()],
            logits: vec![0.0; self.metadata.logits()],
            embedding: vec![0.0; self.embedding_size()],
        })
    }

    /// How many numbers the embedding has: the features that the last layer makes the logits of. 0 where
    /// the network is not wholly in integers, or does not end with a dense layer.
    pub fn embedding_size(&self) -> usize {
        match &self.integer {
            Integer::All(_) => self.integer.operation().map_or(0, |operation| operation.embedding_size()),
            Integer::Part(_) | Integer::None => 0,
        }
    }
}

const READING: &str = "reading the network";
const PREPARING: &str = "preparing the network";
const RUNNING: &str = "running the network";

fn graph(file: &ModelFile) -> Result<&GraphProto, ModelError> {
    file.onnx.graph.as_ref().ok_or_else(|| ModelError::NotOnnx("it has no graph".to_string()))
}

/// The integer part, then what is left to tract.
fn joined(operation: integer::IntegerOperation, rest: Option<&TypedModel>) -> TractResult<TypedModel> {
    let mut model = TypedModel::default();
    let [height, width, channels] = operation.shape();
    let pixels = model.add_source("anchorwatch.pixels", u8::fact([1, height, width, channels]))?;
    let exits = model.wire_node("anchorwatch.int8", operation, &[pixels])?;
    let Some(rest) = rest else {
        model.select_output_outlets(&exits)?;
        return Ok(model);
    };
    let mut wires: HashMap<OutletId, OutletId> =
        rest.input_outlets()?.iter().copied().zip(exits.iter().copied()).collect();
    for id in rest.eval_order()? {
        let node = rest.node(id);
        if rest.input_outlets()?.contains(&OutletId::new(id, 0)) {
            continue;
        }
        let inputs: Vec<OutletId> = node.inputs.iter().map(|input| wires[input]).collect();
        let outputs = model.wire_node(&node.name, node.op.clone(), &inputs)?;
        wires.extend(outputs.iter().enumerate().map(|(slot, wire)| (OutletId::new(id, slot), *wire)));
    }
    let outputs: Vec<OutletId> = rest.output_outlets()?.iter().map(|output| wires[output]).collect();
    model.select_output_outlets(&outputs)?;
    Ok(model)
}

/// What runs.
enum Runner {
    /// tract's plan.
    Plan(SimpleState<TypedFact, Box<dyn TypedOp>>),
    /// The one operation that the plan consists of: called directly, since a plan allocates tensors
    /// for what goes in and comes out.
    Integer(integer::IntegerSession),
}

/// What a network says of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outputs<'a> {
    /// The N logits.
    pub logits: &'a [f32],
    /// What the last layer makes them of: of each of its input's channels the mean over all places. Empty
    /// where there is none ([`Model::embedding_size`]).
    pub embedding: &'a [f32],
}

/// Runs a network, one picture after another.
pub struct Session {
    runner: Runner,
    /// Of each channel, the input value that each byte becomes; `None` where the network takes
    /// the bytes.
    tables: Option<Vec<[f32; 256]>>,
    /// Height, width, channels.
    size: [usize; 3],
    logits: Vec<f32>,
    embedding: Vec<f32>,
}

impl Session {
    /// The N logits of a picture given as H×W×C bytes of the input's size, as
    /// [`Preparer`](crate::vision::Preparer) makes them.
    ///
    /// # Errors
    /// If the number of bytes is not that of the input, or the network fails.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<&[f32], ModelError> {
        let [height, width, channels] = self.size;
        let expected = height * width * channels;
        if pixels.len() != expected {
            return Err(ModelError::Pixels { expected, got: pixels.len() });
        }
        let state = match &mut self.runner {
            Runner::Integer(session) => {
                guard::catch(RUNNING, || {
                    session.logits(pixels, &mut self.logits);
                    Ok(())
                })?;
                return Ok(&self.logits);
            }
            Runner::Plan(state) => state,
        };
        let input = match &self.tables {
            None => Tensor::from_shape(&[1, height, width, channels], pixels),
            Some(tables) => normalised(pixels, tables, height, width),
        };
        let failed = |error| guard::failed(RUNNING, error);
        let input = input.map_err(failed)?;
        let outputs = guard::catch(RUNNING, || state.run(tvec!(input.into_tvalue())))?;
        let output = outputs[0].try_as_plain_ram().map_err(failed)?;
        self.logits.copy_from_slice(output.as_slice::<f32>().map_err(failed)?);
        Ok(&self.logits)
    }

    /// The same, with the embedding.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn outputs(&mut self, pixels: &[u8]) -> Result<Outputs<'_>, ModelError> {
        self.logits(pixels)?;
        if let Runner::Integer(session) = &self.runner {
            session.embedding(&mut self.embedding);
        }
        Ok(Outputs { logits: &self.logits, embedding: &self.embedding })
    }
}

/// Bytes of H×W×C to the f32 tensor of 1×C×H×W that a network takes.
fn normalised(pixels: &[u8], tables: &[[f32; 256]], height: usize, width: usize) -> TractResult<Tensor> {
    let (area, channels) = (height * width, tables.len());
    let mut planes = vec![0.0f32; pixels.len()];
    for (channel, (plane, table)) in planes.chunks_exact_mut(area).zip(tables).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(pixels.chunks_exact(channels)) {
            *value = table[usize::from(pixel[channel])];
        }
    }
    Tensor::from_shape(&[1, channels, height, width], &planes)
}

/// What tract would panic on or not complain about.
fn check_graph(graph: &GraphProto, metadata: &Metadata) -> Result<(), ModelError> {
    let initializers: BTreeSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|input| !initializers.contains(&*input.name)).collect();
    let [input] = &inputs[..] else {
        let count = inputs.len();
        return Err(ModelError::Shape(format!("the network must have one input, and has {count}")));
    };
    let [output] = &graph.output[..] else {
        let count = graph.output.len();
        return Err(ModelError::Shape(format!("the network must have one output, and has {count}")));
    };
    let made = graph.node.iter().flat_map(|node| &node.output).any(|name| *name == output.name);
    if !made {
        return Err(ModelError::Network(format!("no node computes its output '{}'", output.name)));
    }
    let spec = &metadata.input;
    let expected = [spec.channels(), spec.height as usize, spec.width as usize];
    let shape = input.r#type.as_ref().and_then(|kind| match kind.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref(),
    });
    let Some(shape) = shape else { return Ok(()) };
    let found: Vec<Option<i64>> = shape
        .dim
        .iter()
        .map(|dimension| match dimension.value {
            Some(Dimension::DimValue(value)) if value > 0 => Some(value),
            _ => None,
        })
        .collect();
    let fits = found.len() == 4
        && found[1..]
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.is_none_or(|found| found == expected as i64));
    if fits {
        return Ok(());
    }
    let found: Vec<String> = found.iter().map(|found| found.map_or("?".into(), |n| n.to_string())).collect();
    let [channels, height, width] = expected;
    Err(ModelError::Shape(format!(
        "the network's input is {}, and the block says ?×{channels}×{height}×{width} (batch, channels, height, width)",
        found.join("×")
    )))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::metadata::METADATA_VERSION;
    use super::super::metadata::tests::example;
    use super::*;
    use tract_onnx::pb::*;

    fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: tensor_proto::DataType::Float as i32,
            float_data: values.to_vec(),
            ..Default::default()
        }
    }

    fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
        let dim = dims.iter().map(|&size| tensor_shape_proto::Dimension {
            value: Some(Dimension::DimValue(size)),
            ..Default::default()
        });
        let tensor = type_proto::Tensor {
            elem_type: tensor_proto::DataType::Float as i32,
            shape: Some(TensorShapeProto { dim: dim.collect() }),
        };
        ValueInfoProto {
            name: name.into(),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(tensor)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn node(kind: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: kind.into(),
            name: output.into(),
            input: inputs.iter().map(|name| name.to_string()).collect(),
            output: vec![output.into()],
            ..Default::default()
        }
    }

    /// A network whose two logits are 10 times the mean red and the mean green of a 4×2 picture.
    pub(crate) fn colours() -> ModelFile {
        let graph = GraphProto {
            name: "colours".into(),
            node: vec![
                node("GlobalAveragePool", &["pixels"], "mean"),
                node("Flatten", &["mean"], "flat"),
                node("Gemm", &["flat", "weights", "bias"], "logits"),
            ],
            initializer: vec![
                tensor("weights", &[3, 2], &[10.0, 0.0, 0.0, 10.0, 0.0, 0.0]),
                tensor("bias", &[2], &[0.0, 0.0]),
            ],
            input: vec![value("pixels", &[1, 3, 2, 4])],
            output: vec![value("logits", &[1, 2])],
            ..Default::default()
        };
        let mut metadata = example();
        metadata.centres = vec![vec![10.0, 0.0], vec![0.0, 10.0]];
        metadata.input.mean = vec![0.0; 3];
        metadata.input.std = vec![1.0; 3];
        assert_eq!(metadata.version, METADATA_VERSION);
        let opset = OperatorSetIdProto { version: 13, ..Default::default() };
        let onnx =
            ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
        ModelFile { onnx, metadata }
    }

    fn reason(change: impl FnOnce(&mut ModelFile)) -> String {
        let mut file = colours();
        change(&mut file);
        match Model::from_file(&file) {
            Ok(_) => panic!("it was taken"),
            Err(error) => error.to_string(),
        }
    }

    fn graph(file: &mut ModelFile) -> &mut GraphProto {
        file.onnx.graph.as_mut().unwrap()
    }

    #[test]
    fn logits_are_those_of_the_network() {
        let model = Model::from_file(&colours()).unwrap();
        assert_eq!(model.id().len(), 12);
        let mut session = model.session().unwrap();
        let mut pixels = [255, 51, 0].repeat(8);
        let logits = session.logits(&pixels).unwrap();
        assert!((logits[0] - 10.0).abs() < 1e-5 && (logits[1] - 2.0).abs() < 1e-5, "{logits:?}");
        // A second picture is not mixed with the first.
        pixels.fill(0);
        assert_eq!(session.logits(&pixels).unwrap(), [0.0, 0.0]);
        assert!(matches!(session.logits(&pixels[1..]), Err(ModelError::Pixels { expected: 24, got: 23 })));
    }

    #[test]
    fn layers_are_reported_with_their_work() {
        let model = Model::from_file(&colours()).unwrap();
        let macs: u64 = model.layers().iter().map(|layer| layer.macs).sum();
        assert!(macs >= 6, "{:?}", model.layers());
        assert!(model.layers().iter().all(|layer| layer.precision == "f32"));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert!(reason(|file| file.metadata.input.width = 5).contains("?×3×2×5"));
        assert!(
            reason(|file| file.metadata.centres = vec![vec![1.0; 3], vec![2.0; 3]])
                .contains("centres have 3 logits")
        );
        assert!(reason(|file| graph(file).output[0].name = "nothing".into()).contains("'nothing'"));
        assert!(reason(|file| graph(file).input.clear()).contains("one input"));
        assert!(reason(|file| graph(file).output.clear()).contains("one output"));
    }

    #[test]
    fn broken_networks_are_errors_and_no_panics() {
        assert!(reason(|file| graph(file).node[0].op_type = "Dream".into()).contains("cannot be run"));
        assert!(reason(|file| graph(file).node[0].input[0] = "elsewhere".into()).contains("cannot be run"));
        assert!(reason(|file| graph(file).initializer[0].dims = vec![5, 2]).contains("cannot be run"));
        assert!(reason(|file| graph(file).initializer[0].dims = vec![-3, 2]).contains("cannot be run"));
        assert!(reason(|file| graph(file).node[2].input.truncate(1)).contains("cannot be run"));
    }
}

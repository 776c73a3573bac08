//! The part of a quantized network that runs in integers, on `anchorwatch-kernels`, as one tract
//! operation: bytes of pixels in, logits (or whatever f32 tensors the rest needs) out.
//!
//! The QDQ pattern is recognised in the ONNX graph and not in tract's typed one: tract folds
//! `DequantizeLinear` of the weights into f32 constants while it types the graph, and the integers
//! are then gone. A whole chain of layers is one operation, so that all tensors between them lie
//! in one piece of memory that is laid out once.

mod compile;
mod features;
mod onnx_graph;
mod operation;
mod profile;
mod recognise;

pub(super) use operation::{IntegerOperation, IntegerSession};

use super::ModelError;
use super::layers::LayerReport;
use super::metadata::InputSpec;
use std::sync::Arc;
use tract_onnx::pb::{GraphProto, ModelProto, TensorShapeProto, TypeProto, ValueInfoProto};
use tract_onnx::pb::{
    tensor_proto, tensor_shape_proto::Dimension, tensor_shape_proto::dimension, type_proto,
};

/// A network divided into what runs in integers and what is left to tract.
pub(super) struct Divided {
    /// The integer part.
    pub(super) operation: IntegerOperation,
    /// Its layers.
    pub(super) layers: Vec<LayerReport>,
    /// The rest, with what leaves the integer part as inputs; `None` when nothing is left.
    pub(super) rest: Option<ModelProto>,
}

/// Divides a network. `None` when no part of it can run in integers.
///
/// # Errors
/// If the environment asks for instructions that this processor does not have.
pub(super) fn divide(onnx: &ModelProto, input: &InputSpec) -> Result<Option<Divided>, ModelError> {
    let isa = anchorwatch_kernels::Isa::from_environment()
        .map_err(|error| ModelError::Network(error.to_string()))?;
    let Some(graph) = &onnx.graph else { return Ok(None) };
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let Some(pixels) = graph.input.iter().find(|input| !constant(&input.name)) else { return Ok(None) };
    let shape = [input.height as usize, input.width as usize, input.channels()];
    let Some(part) = recognise::recognise(graph, &pixels.name, shape) else { return Ok(None) };
    let features = features::Features::of(&part);
    let (program, step_layers) = match compile::program(&part, features.as_ref(), input, isa) {
        Ok(program) => program,
        Err(error) => {
            log::warn!("the quantized network runs in f32: {error}");
            return Ok(None);
        }
    };
    let layers = compile::reports(&part, &program);
    let rest = (!part.rest.is_empty()).then(|| rest(onnx, graph, &part));
    let exits = operation::Exits::new(&part);
    let operation = IntegerOperation::new(Arc::new(program), exits, features, shape, step_layers.into());
    Ok(Some(Divided { operation, layers, rest }))
}

/// A whole network as bytes for a microcontroller: see [`anchorwatch_kernels::FlatProgram`].
///
/// # Errors
/// If a part of it cannot run in integers; the message says what to do.
pub(super) fn flat(onnx: &ModelProto, input: &InputSpec) -> Result<Vec<u8>, ModelError> {
    let failed = |why: &str| {
        let what = "a microcontroller runs networks that are int8 from the first layer to the logits";
        Err(ModelError::Network(format!("{what}, and {why}")))
    };
    let Some(graph) = &onnx.graph else { return failed("there is no network") };
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let Some(pixels) = graph.input.iter().find(|input| !constant(&input.name)) else {
        return failed("there is no input");
    };
    let shape = [input.height as usize, input.width as usize, input.channels()];
    let Some(part) = recognise::recognise(graph, &pixels.name, shape) else {
        return failed("this one is not quantized: quantize it with anchorwatch-train");
    };
    let [exit] = &part.exits[..] else { return failed("this one has other outputs than logits") };
    if !part.rest.is_empty() || exit.tensor.is_some() {
        return failed("the last layers of this one are not");
    }
    compile::flat(&part, input).or_else(|error| failed(&error.to_string()))
}

/// What is left to tract, as a model of its own.
fn rest(onnx: &ModelProto, graph: &GraphProto, part: &recognise::IntegerPart) -> ModelProto {
    let inputs = part.exits.iter().map(|exit| {
        let [height, width, channels] = part.shape(exit);
        let sizes =
            if exit.flat { vec![1, channels * height * width] } else { vec![1, channels, height, width] };
        let dimension = |size: usize| Dimension {
            value: Some(dimension::Value::DimValue(size as i64)),
            ..Default::default()
        };
        let tensor = type_proto::Tensor {
            elem_type: tensor_proto::DataType::Float as i32,
            shape: Some(TensorShapeProto { dim: sizes.into_iter().map(dimension).collect() }),
        };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        ValueInfoProto { name: exit.name.clone(), r#type: Some(kind), ..Default::default() }
    });
    let graph = GraphProto {
        node: part.rest.iter().map(|&index| graph.node[index].clone()).collect(),
        input: inputs.collect(),
        value_info: Vec::new(),
        ..graph.clone()
    };
    ModelProto { graph: Some(graph), ..onnx.clone() }
}

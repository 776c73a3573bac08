//! Reading an ONNX graph: who makes and who reads a tensor, constants, attributes. What the nodes
//! mean together is [`super::recognise`]'s part.

use std::collections::HashMap;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

/// A graph with its names looked up.
pub(super) struct OnnxGraph<'a> {
    pub(super) graph: &'a GraphProto,
    constants: HashMap<&'a str, &'a TensorProto>,
    producers: HashMap<&'a str, &'a NodeProto>,
    readers: HashMap<&'a str, usize>,
}

/// Weights or biases as integers with their scales.
pub(super) struct IntegerConstant {
    pub(super) values: Vec<i32>,
    pub(super) dims: Vec<usize>,
    /// One, or one for each index along `axis`.
    pub(super) scales: Vec<f32>,
    pub(super) axis: usize,
}

/// Scale and zero point of one `QuantizeLinear` or `DequantizeLinear` for a whole tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct QuantizationParameters {
    pub(super) scale: f32,
    pub(super) zero_point: i32,
    /// i8 rather than u8.
    pub(super) signed: bool,
}

impl<'a> OnnxGraph<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Self {
        let mut constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (&*tensor.name, tensor)).collect();
        let (mut producers, mut readers) = (HashMap::new(), HashMap::new());
        for node in &graph.node {
            if let ("Constant", [output]) = (&*node.op_type, &node.output[..])
                && let Some(tensor) = attribute(node, "value").and_then(|value| value.t.as_ref())
            {
                constants.insert(output, tensor);
            }
            for output in &node.output {
                producers.insert(&**output, node);
            }
            for input in &node.input {
                *readers.entry(&**input).or_default() += 1;
            }
        }
        for output in &graph.output {
            *readers.entry(&*output.name).or_default() += 1;
        }
        Self { graph, constants, producers, readers }
    }

    /// How many nodes read a tensor; being the graph's output counts as well.
    pub(super) fn readers(&self, tensor: &str) -> usize {
        self.readers.get(tensor).copied().unwrap_or(0)
    }

    /// The values of an f32 constant.
    pub(super) fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.constants.get(name)?;
        (tensor.data_type == DataType::Float as i32).then_some(())?;
        let values = if tensor.raw_data.is_empty() {
            tensor.float_data.clone()
        } else {
            tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        (values.len() == count(tensor)?).then_some(values)
    }

    /// The values of an integer constant, and its type.
    pub(super) fn integers(&self, name: &str) -> Option<(Vec<i32>, DataType)> {
        let tensor = self.constants.get(name)?;
        let kind = DataType::try_from(tensor.data_type).ok()?;
        let raw = &tensor.raw_data;
        let typed = raw.is_empty();
        let values: Vec<i32> = match kind {
            DataType::Int8 | DataType::Uint8 | DataType::Int32 if typed => tensor.int32_data.clone(),
            DataType::Int64 if typed => {
                tensor.int64_data.iter().map(|&value| i32::try_from(value).ok()).collect::<Option<_>>()?
            }
            DataType::Int8 => raw.iter().map(|&byte| i32::from(byte.cast_signed())).collect(),
            DataType::Uint8 => raw.iter().map(|&byte| i32::from(byte)).collect(),
            DataType::Int32 => raw.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect(),
            DataType::Int64 => {
                let values = raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
                values.map(|value| i32::try_from(value).ok()).collect::<Option<_>>()?
            }
            _ => return None,
        };
        (values.len() == count(tensor)?).then_some((values, kind))
    }

    /// Scale and zero point of a node that quantizes or dequantizes a whole tensor.
    pub(super) fn parameters(&self, node: &NodeProto) -> Option<QuantizationParameters> {
        let [scale] = self.floats(node.input.get(1)?)?[..] else { return None };
        let (zero_point, signed) = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => (0, false),
            Some(name) => match self.integers(name)? {
                (values, DataType::Uint8) if values.len() == 1 => (values[0], false),
                (values, DataType::Int8) if values.len() == 1 => (values[0], true),
                _ => return None,
            },
        };
        (scale.is_finite() && scale > 0.0).then_some(QuantizationParameters { scale, zero_point, signed })
    }

    /// A constant that is dequantized for its readers, as symmetric integers: i8 weights, u8
    /// weights about 128, i32 biases.
    pub(super) fn dequantized_constant(&self, name: &str) -> Option<IntegerConstant> {
        let node = self.producers.get(name).filter(|node| node.op_type == "DequantizeLinear")?;
        let (mut values, kind) = self.integers(node.input.first()?)?;
        let dims = dims(self.constants.get(&**node.input.first()?)?)?;
        let scales = self.floats(node.input.get(1)?)?;
        let centre = match (kind, node.input.get(2).filter(|name| !name.is_empty())) {
            (DataType::Int8 | DataType::Int32, None) => 0,
            (_, None) => return None,
            (_, Some(name)) => {
                let (points, _) = self.integers(name)?;
                let expected = if kind == DataType::Uint8 { 128 } else { 0 };
                points.iter().all(|&point| point == expected).then_some(expected)?
            }
        };
        for value in &mut values {
            *value -= centre;
        }
        let axis = integer(node, "axis").unwrap_or(1);
        let axis = if axis < 0 { axis + dims.len() as i64 } else { axis } as usize;
        let fits = scales.len() == 1 || dims.get(axis) == Some(&scales.len());
        let usable = scales.iter().all(|scale| scale.is_finite() && *scale > 0.0);
        (fits && usable).then_some(IntegerConstant { values, dims, scales, axis })
    }
}

/// A constant's shape; `None` when a size is negative.
fn dims(tensor: &TensorProto) -> Option<Vec<usize>> {
    tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect()
}

/// How many values a constant should have.
fn count(tensor: &TensorProto) -> Option<usize> {
    dims(tensor)?.into_iter().try_fold(1usize, usize::checked_mul)
}

/// A node's attribute.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// An integer attribute.
pub(super) fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

/// An attribute of several sizes.
pub(super) fn sizes(node: &NodeProto, name: &str) -> Option<Vec<usize>> {
    let attribute = attribute(node, name)?;
    attribute.ints.iter().map(|&size| usize::try_from(size).ok()).collect()
}

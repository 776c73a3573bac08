//! Builds an ONNX graph node by node, in tract's protobuf types. Knows ONNX, not the networks.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

/// The newest opset in which all engines of interest know every operator used here; per-axis
/// DequantizeLinear came with it.
const OPSET: i64 = 13;
const IR_VERSION: i64 = 8;

/// A graph in the making.
#[derive(Default)]
pub struct OnnxGraph {
    graph: GraphProto,
}

impl OnnxGraph {
    /// Adds a node with one output, called as the node is.
    pub fn node(&mut self, op_type: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        self.node_with_output(op_type, name, inputs, name, attributes);
    }

    /// Adds a node whose output has another name.
    pub fn node_with_output(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![output.to_string()],
            name: name.to_string(),
            op_type: op_type.to_string(),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// Adds a constant of f32; no dimensions make it a scalar.
    pub fn f32s(&mut self, name: &str, shape: &[i64], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, DataType::Float, bytes);
    }

    /// Adds a constant of i32.
    pub fn i32s(&mut self, name: &str, shape: &[i64], values: &[i32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, DataType::Int32, bytes);
    }

    /// Adds a constant of i8.
    pub fn i8s(&mut self, name: &str, shape: &[i64], values: &[i8]) {
        let bytes = values.iter().map(|value| value.cast_unsigned()).collect();
        self.constant(name, shape, DataType::Int8, bytes);
    }

    /// Adds a constant of u8.
    pub fn u8s(&mut self, name: &str, shape: &[i64], values: &[u8]) {
        self.constant(name, shape, DataType::Uint8, values.to_vec());
    }

    fn constant(&mut self, name: &str, shape: &[i64], kind: DataType, raw_data: Vec<u8>) {
        self.graph.initializer.push(TensorProto {
            dims: shape.to_vec(),
            data_type: kind as i32,
            name: name.to_string(),
            raw_data,
            ..TensorProto::default()
        });
    }

    /// The model: one f32 input and one f32 output, each with a batch dimension N before the
    /// shape given here.
    pub fn into_model(mut self, input: (&str, &[usize]), output: (&str, &[usize])) -> ModelProto {
        self.graph.name = "anchorwatch".to_string();
        self.graph.input = vec![value_info(input.0, input.1)];
        self.graph.output = vec![value_info(output.0, output.1)];
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: env!("CARGO_PKG_NAME").to_string(),
            producer_version: env!("CARGO_PKG_VERSION").to_string(),
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    let (name, r#type) = (name.to_string(), AttributeType::Int as i32);
    AttributeProto { name, r#type, i: value, ..AttributeProto::default() }
}

/// An attribute of several integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (name, r#type) = (name.to_string(), AttributeType::Ints as i32);
    AttributeProto { name, r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

/// A real attribute.
pub fn float(name: &str, value: f32) -> AttributeProto {
    let (name, r#type) = (name.to_string(), AttributeType::Float as i32);
    AttributeProto { name, r#type, f: value, ..AttributeProto::default() }
}

fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let batch = dimension::Value::DimParam("N".to_string());
    let sizes = shape.iter().map(|&size| dimension::Value::DimValue(size as i64));
    let dim = std::iter::once(batch)
        .chain(sizes)
        .map(|value| Dimension { value: Some(value), ..Dimension::default() })
        .collect();
    let tensor =
        type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

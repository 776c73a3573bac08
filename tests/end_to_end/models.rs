//! A real network, made here: its logits are 10 times the mean red, green and blue of a picture, so
//! colours are its classes, and every score can be computed by hand.

use anchorwatch::network::metadata::{
    Colour, Golden, InputSpec, METADATA_VERSION, Metadata, Provenance, ResizeRule, Threshold,
};
use anchorwatch::network::{ModelFile, ModelProto};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::*;

/// The input's width and height.
const SIDE: u32 = 8;
/// Above it is unknown.
pub const THRESHOLD: f32 = 2.0;

/// The model with its golden pictures.
pub fn colours() -> ModelFile {
    let graph = GraphProto {
        name: "colours".into(),
        node: vec![
            node("GlobalAveragePool", &["pixels"], "mean"),
            node("Flatten", &["mean"], "flat"),
            node("Gemm", &["flat", "weights", "bias"], "logits"),
        ],
        initializer: vec![
            tensor("weights", &[3, 3], &[10.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 10.0]),
            tensor("bias", &[3], &[0.0; 3]),
        ],
        input: vec![value("pixels", &[1, 3, i64::from(SIDE), i64::from(SIDE)])],
        output: vec![value("logits", &[1, 3])],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: 13, ..Default::default() };
    let onnx =
        ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
    let metadata = Metadata {
        version: METADATA_VERSION,
        name: "colours".into(),
        classes: ["red", "green", "blue"].map(String::from).to_vec(),
        centres: vec![vec![10.0, 0.0, 0.0], vec![0.0, 10.0, 0.0], vec![0.0, 0.0, 10.0]],
        input: InputSpec {
            width: SIDE,
            height: SIDE,
            colour: Colour::Rgb,
            resize: ResizeRule::Stretch,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        },
        threshold: Threshold {
            value: THRESHOLD,
            target_tpr: 0.95,
            measured_tpr: 0.96,
            pictures: 25,
            source: "chosen by hand".into(),
            weighted: false,
        },
        class_thresholds: Vec::new(),
        class_calibrations: Vec::new(),
        known_scores: Vec::new(),
        training: Provenance { precision: "f32".into(), ..Default::default() },
        golden: [[255, 0, 0], [255, 200, 0], [128, 128, 128]].map(golden).to_vec(),
    };
    ModelFile { onnx, metadata }
}

/// Its logits for a picture of one colour.
fn logits(colour: [u8; 3]) -> [f64; 3] {
    colour.map(|channel| 10.0 * f64::from(channel) / 255.0)
}

fn golden(colour: [u8; 3]) -> Golden {
    let mut png = Cursor::new(Vec::new());
    RgbImage::from_pixel(SIDE, SIDE, Rgb(colour)).write_to(&mut png, ImageFormat::Png).unwrap();
    let logits: Vec<f32> = logits(colour).iter().map(|&logit| logit as f32).collect();
    Golden { png: BASE64_STANDARD.encode(png.into_inner()), logits_f32: logits.clone(), logits }
}

/// The rejection score of a picture of one colour, as section 3 of the paper says it.
pub fn score(colour: [u8; 3]) -> f64 {
    let logits = logits(colour);
    let distance = |class: usize| {
        let centre = |logit| if logit == class { 10.0 } else { 0.0 };
        (0..3).map(|logit| (logits[logit] - centre(logit)).powi(2)).sum::<f64>().sqrt()
    };
    let distances = [0, 1, 2].map(distance);
    let sum: f64 = distances.iter().map(|distance| (-distance).exp()).sum();
    distances.iter().map(|distance| distance * (1.0 - (-distance).exp() / sum)).fold(f64::INFINITY, f64::min)
}

/// Writes the model into a folder.
pub fn write(folder: &Path) -> PathBuf {
    let path = folder.join("colours.onnx");
    colours().write(&path).unwrap();
    path
}

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
    let dim = dims
        .iter()
        .map(|&size| Dimension { value: Some(dimension::Value::DimValue(size)), ..Default::default() });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = Tensor { elem_type: tensor_proto::DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
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

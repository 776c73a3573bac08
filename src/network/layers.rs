//! What a network is made of and in what numbers each part computes: for `inspect`, for people.

use serde::Serialize;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::Cost;

/// One node of the network as it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// The node's name in the file, or that of the node it was made from.
    pub name: String,
    /// The operation, as the engine calls it.
    pub kind: String,
    /// Shape of its output, batch first.
    pub shape: Vec<usize>,
    /// Multiplications with additions, a picture.
    pub macs: u64,
    /// Weights and biases.
    pub parameters: u64,
    /// The numbers it computes with: `int8` or `f32` (or another of tract's type names).
    pub precision: String,
}

/// The nodes of a network as tract will run it, except constants.
pub(super) fn reports(model: &TypedModel) -> TractResult<Vec<LayerReport>> {
    let mut reports = Vec::new();
    for &id in &model.eval_order()? {
        let node = model.node(id);
        let (inputs, outputs) = model.node_facts(id)?;
        let kind = node.op.name().to_string();
        let Some(output) = outputs.first() else { continue };
        if kind == "Const" || kind == "Source" {
            continue;
        }
        let shape = output.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
        let (mut macs, mut parameters) = (0, 0);
        for (cost, count) in node.op.cost(&inputs)? {
            let count = u64::try_from(count.to_i64().unwrap_or(0)).unwrap_or(0);
            match cost {
                Cost::FMA(_) => macs += count,
                Cost::Params(_) => parameters += count,
                Cost::Div(_) | Cost::Buffer(_) | Cost::Custom(..) => {}
            }
        }
        // What it reads says in what it computes: a quantization reads f32 and gives u8.
        let datum = inputs.first().map_or(output.datum_type, |fact| fact.datum_type);
        reports.push(LayerReport {
            name: node.name.clone(),
            kind,
            shape,
            macs,
            parameters,
            precision: precision(datum),
        });
    }
    Ok(reports)
}

fn precision(datum: DatumType) -> String {
    match datum.unquantized() {
        DatumType::I8 | DatumType::U8 => "int8".to_string(),
        DatumType::F32 => "f32".to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

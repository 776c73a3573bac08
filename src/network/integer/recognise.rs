//! Finds the part of a quantized network that can be computed in integers: from the input's
//! `QuantizeLinear` on, everything between a `DequantizeLinear` and the next `QuantizeLinear` that
//! is a known layer. What it finds is plain data; [`super::program`] makes kernels of it. What it
//! does not know is left to tract, which computes it in float.

use super::onnx_graph::{IntegerConstant, OnnxGraph, QuantizationParameters, attribute, integer, sizes};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{GraphProto, NodeProto, tensor_proto::DataType};

/// Height, width, channels.
pub(super) type Shape = [usize; 3];

/// A tensor of bytes between two layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct IntegerTensor {
    pub(super) parameters: QuantizationParameters,
    pub(super) shape: Shape,
}

/// What is done to a layer's real result before it is quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    None,
    Relu,
    Relu6,
    LeakyRelu(f32),
}

/// What a layer computes; the tensors are in [`Layer`].
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The network's input, quantized.
    Pixels,
    Convolution {
        /// outputs × inputs/groups × kernel height × kernel width
        weights: Vec<i8>,
        weight_scales: Vec<f32>,
        /// In units of input scale × weight scale; one an output channel.
        bias: Vec<i32>,
        outputs: usize,
        /// Height, width.
        kernel: [usize; 2],
        stride: [usize; 2],
        /// Top, left, bottom, right.
        padding: [usize; 4],
        groups: usize,
    },
    Dense {
        /// outputs × inputs, the inputs in the order channel, height, width
        weights: Vec<i8>,
        weight_scales: Vec<f32>,
        bias: Vec<i32>,
        outputs: usize,
    },
    Add,
    GlobalAveragePool,
    MaxPool {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 4],
    },
    /// Only quantized anew, with its activation.
    Requantize,
}

/// One layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) activation: Activation,
    /// Indices of tensors; none for `Pixels`.
    pub(super) inputs: Vec<usize>,
    /// The tensor it makes; `None` for f32 logits.
    pub(super) output: Option<usize>,
    pub(super) shape: Shape,
}

/// Something that leaves the integer part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exit {
    /// The name of the f32 tensor in the graph.
    pub(super) name: String,
    /// The tensor that is dequantized; `None` for the f32 logits of the last layer.
    pub(super) tensor: Option<usize>,
    /// As N×(C·H·W) rather than N×C×H×W.
    pub(super) flat: bool,
}

/// The integer part of a network.
#[derive(Debug)]
pub(super) struct IntegerPart {
    pub(super) tensors: Vec<IntegerTensor>,
    /// In the order they run.
    pub(super) layers: Vec<Layer>,
    pub(super) exits: Vec<Exit>,
    /// The nodes that are left to tract, by index.
    pub(super) rest: Vec<usize>,
}

/// An f32 tensor that is an integer tensor dequantized.
#[derive(Clone, Copy)]
struct View {
    tensor: usize,
    flat: bool,
}

/// A layer that waits for its activation and its `QuantizeLinear`.
struct Pending {
    kind: Kind,
    inputs: Vec<usize>,
    shape: Shape,
    activation: Activation,
    flat: bool,
    nodes: Vec<usize>,
}

struct Recogniser<'a> {
    onnx: OnnxGraph<'a>,
    input: &'a str,
    shape: Shape,
    tensors: Vec<IntegerTensor>,
    layers: Vec<Layer>,
    /// Integer tensors by name.
    integers: HashMap<&'a str, View>,
    views: HashMap<&'a str, View>,
    pending: HashMap<&'a str, Pending>,
    covered: HashSet<usize>,
}

/// Finds the integer part of a graph whose one input is `input`, of this shape.
///
/// `None` when there is none, or when what is left to tract needs the unquantized input too.
pub(super) fn recognise(graph: &GraphProto, input: &str, shape: Shape) -> Option<IntegerPart> {
    let mut recogniser = Recogniser {
        onnx: OnnxGraph::new(graph),
        input,
        shape,
        tensors: Vec::new(),
        layers: Vec::new(),
        integers: HashMap::new(),
        views: HashMap::new(),
        pending: HashMap::new(),
        covered: HashSet::new(),
    };
    for (index, node) in graph.node.iter().enumerate() {
        recogniser.take(index, node);
    }
    recogniser.finish()
}

impl<'a> Recogniser<'a> {
    /// Takes a node in, if it is one of those that are known.
    fn take(&mut self, index: usize, node: &'a NodeProto) -> Option<()> {
        let [output] = &node.output[..] else { return None };
        let inputs: Vec<&'a str> = node.input.iter().map(String::as_str).collect();
        let input = *inputs.first()?;
        match &*node.op_type {
            "QuantizeLinear" => return self.quantize(index, node, input, output),
            "DequantizeLinear" => {
                let view = *self.integers.get(input)?;
                if self.onnx.parameters(node)? != self.tensors[view.tensor].parameters {
                    return None;
                }
                self.covered.insert(index);
                self.views.insert(output, view);
                return Some(());
            }
            "Flatten" | "Reshape" => return self.flatten(index, node, &inputs, output),
            "Relu" | "LeakyRelu" | "Clip" => {
                let activation = self.activation(node, &inputs)?;
                return self.activate(index, input, output, activation);
            }
            _ => {}
        }
        let view = *self.views.get(input)?;
        let (kind, shape) = match &*node.op_type {
            "Conv" if !view.flat => self.convolution(node, &inputs, view)?,
            "Gemm" => self.gemm(node, &inputs, view)?,
            "MatMul" if view.flat => self.matmul(&inputs, view)?,
            "Add" => return self.add(index, &inputs, output),
            "GlobalAveragePool" if !view.flat => (Kind::GlobalAveragePool, self.pooled(view)),
            "ReduceMean" if !view.flat && self.is_spatial_mean(node, &inputs) => {
                (Kind::GlobalAveragePool, self.pooled(view))
            }
            "MaxPool" if !view.flat => self.max_pool(node, view)?,
            _ => return None,
        };
        let flat = matches!(kind, Kind::Dense { .. }) || integer(node, "keepdims") == Some(0);
        self.wait(index, output, kind, vec![view.tensor], shape, flat);
        Some(())
    }

    fn wait(
        &mut self,
        index: usize,
        output: &'a str,
        kind: Kind,
        inputs: Vec<usize>,
        shape: Shape,
        flat: bool,
    ) {
        let pending = Pending { kind, inputs, shape, activation: Activation::None, flat, nodes: vec![index] };
        self.pending.insert(output, pending);
    }

    /// A `QuantizeLinear` ends a layer.
    fn quantize(&mut self, index: usize, node: &NodeProto, input: &'a str, output: &'a str) -> Option<()> {
        let parameters = self.onnx.parameters(node)?;
        let tensor = self.tensors.len();
        if input == self.input {
            self.add_layer(index, output, Kind::Pixels, Activation::None, Vec::new(), self.shape, parameters);
            self.integers.insert(output, View { tensor, flat: false });
            return Some(());
        }
        if let Some(&view) = self.views.get(input) {
            let IntegerTensor { parameters: before, shape } = self.tensors[view.tensor];
            if parameters == before {
                // Nothing happened in between but a flattening.
                self.covered.insert(index);
                self.integers.insert(output, view);
                return Some(());
            }
            let inputs = vec![view.tensor];
            self.add_layer(index, output, Kind::Requantize, Activation::None, inputs, shape, parameters);
            self.integers.insert(output, View { tensor, flat: view.flat });
            return Some(());
        }
        if self.onnx.readers(input) != 1 {
            return None;
        }
        let Pending { kind, inputs, shape, activation, flat, nodes } = self.pending.remove(input)?;
        self.covered.extend(nodes);
        self.add_layer(index, output, kind, activation, inputs, shape, parameters);
        self.integers.insert(output, View { tensor, flat });
        Some(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a layer and where they come from")]
    fn add_layer(
        &mut self,
        index: usize,
        name: &str,
        kind: Kind,
        activation: Activation,
        inputs: Vec<usize>,
        shape: Shape,
        parameters: QuantizationParameters,
    ) {
        self.covered.insert(index);
        let output = Some(self.tensors.len());
        self.tensors.push(IntegerTensor { parameters, shape });
        self.layers.push(Layer { name: name.to_string(), kind, activation, inputs, output, shape });
    }

    /// An activation after a layer that waits for it, or by itself.
    fn activate(
        &mut self,
        index: usize,
        input: &'a str,
        output: &'a str,
        activation: Activation,
    ) -> Option<()> {
        if let Some(&view) = self.views.get(input) {
            let shape = self.tensors[view.tensor].shape;
            self.wait(index, output, Kind::Requantize, vec![view.tensor], shape, view.flat);
            self.pending.get_mut(output)?.activation = activation;
            return Some(());
        }
        let pending = self.pending.get(input)?;
        // The mean is rounded before an activation is looked up, which only clamping does not mind.
        let inexact =
            matches!((&pending.kind, activation), (Kind::GlobalAveragePool, Activation::LeakyRelu(_)));
        if self.onnx.readers(input) != 1 || pending.activation != Activation::None || inexact {
            return None;
        }
        let mut pending = self.pending.remove(input)?;
        pending.activation = activation;
        pending.nodes.push(index);
        self.pending.insert(output, pending);
        Some(())
    }

    fn activation(&self, node: &NodeProto, inputs: &[&str]) -> Option<Activation> {
        let bound = |at: usize, name: &str, otherwise: f32| -> Option<f32> {
            match inputs.get(at).filter(|input| !input.is_empty()) {
                Some(input) => self.onnx.floats(input)?.first().copied(),
                None => Some(attribute(node, name).map_or(otherwise, |attribute| attribute.f)),
            }
        };
        match &*node.op_type {
            "Relu" => Some(Activation::Relu),
            "LeakyRelu" => {
                let slope = attribute(node, "alpha").map_or(0.01, |alpha| alpha.f);
                (slope.is_finite() && slope >= 0.0).then_some(Activation::LeakyRelu(slope))
            }
            _ => match (bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?) {
                (0.0, 6.0) => Some(Activation::Relu6),
                (0.0, most) if most >= f32::MAX => Some(Activation::Relu),
                _ => None,
            },
        }
    }

    /// A flattening of a tensor or of a layer's result.
    fn flatten(&mut self, index: usize, node: &NodeProto, inputs: &[&'a str], output: &'a str) -> Option<()> {
        let input = inputs[0];
        if let Some(&view) = self.views.get(input) {
            self.flattens(node, inputs, self.tensors[view.tensor].shape).then_some(())?;
            self.covered.insert(index);
            self.views.insert(output, View { flat: true, ..view });
            return Some(());
        }
        let shape = self.pending.get(input)?.shape;
        (self.onnx.readers(input) == 1 && self.flattens(node, inputs, shape)).then_some(())?;
        let mut pending = self.pending.remove(input)?;
        pending.flat = true;
        pending.nodes.push(index);
        self.pending.insert(output, pending);
        Some(())
    }

    /// Whether a `Flatten` or `Reshape` gives N×(C·H·W).
    fn flattens(&self, node: &NodeProto, inputs: &[&str], input: Shape) -> bool {
        if node.op_type == "Flatten" {
            return integer(node, "axis").unwrap_or(1) == 1;
        }
        let Some((shape, DataType::Int64)) = inputs.get(1).and_then(|name| self.onnx.integers(name)) else {
            return false;
        };
        let count = input.iter().product::<usize>();
        let kept = integer(node, "allowzero").unwrap_or(0) == 0;
        match shape[..] {
            [batch, rest] => {
                (batch == 1 || batch == -1 || kept && batch == 0)
                    && (rest == -1 || usize::try_from(rest) == Ok(count))
            }
            _ => false,
        }
    }

    fn convolution(&self, node: &NodeProto, inputs: &[&str], view: View) -> Option<(Kind, Shape)> {
        let IntegerTensor { parameters, shape: [height, width, channels] } = self.tensors[view.tensor];
        let weights = self.onnx.dequantized_constant(inputs.get(1)?)?;
        let [outputs, group_inputs, kernel_height, kernel_width] = weights.dims[..] else { return None };
        let groups = usize::try_from(integer(node, "group").unwrap_or(1)).ok()?;
        if groups == 0 || group_inputs * groups != channels || !outputs.is_multiple_of(groups) {
            return None;
        }
        let kernel = [kernel_height, kernel_width];
        let (stride, padding, size) = window(node, kernel, [height, width])?;
        let (weights, weight_scales) = symmetric(weights, 0)?;
        let bias = self.bias(inputs.get(2), parameters.scale, &weight_scales, outputs)?;
        let kind =
            Kind::Convolution { weights, weight_scales, bias, outputs, kernel, stride, padding, groups };
        Some((kind, [size[0], size[1], outputs]))
    }

    fn gemm(&self, node: &NodeProto, inputs: &[&str], view: View) -> Option<(Kind, Shape)> {
        let one = |name: &str| attribute(node, name).is_none_or(|attribute| attribute.f == 1.0);
        if !one("alpha") || !one("beta") || integer(node, "transA").unwrap_or(0) != 0 {
            return None;
        }
        let transposed = integer(node, "transB").unwrap_or(0) != 0;
        self.dense(inputs.get(1)?, inputs.get(2), transposed, view)
    }

    fn matmul(&self, inputs: &[&str], view: View) -> Option<(Kind, Shape)> {
        self.dense(inputs.get(1)?, None, false, view)
    }

    /// A dense layer; `by_output` says that the weights are outputs × inputs and not the other way
    /// round.
    fn dense(
        &self,
        weights: &str,
        bias: Option<&&str>,
        by_output: bool,
        view: View,
    ) -> Option<(Kind, Shape)> {
        let IntegerTensor { parameters, shape: [height, width, channels] } = self.tensors[view.tensor];
        if !view.flat && height * width != 1 {
            return None;
        }
        let constant = self.onnx.dequantized_constant(weights)?;
        let [rows, columns] = constant.dims[..] else { return None };
        let (outputs, inputs) = if by_output { (rows, columns) } else { (columns, rows) };
        if inputs != height * width * channels {
            return None;
        }
        let (values, weight_scales) = symmetric(constant, if by_output { 0 } else { 1 })?;
        let weights = if by_output { values } else { transposed(&values, inputs, outputs) };
        let bias = self.bias(bias, parameters.scale, &weight_scales, outputs)?;
        Some((Kind::Dense { weights, weight_scales, bias, outputs }, [1, 1, outputs]))
    }

    /// The bias in units of input scale × weight scale. One that is not quantized is rounded to
    /// them, which are far finer than any output's.
    fn bias(
        &self,
        name: Option<&&str>,
        input_scale: f32,
        weight_scales: &[f32],
        outputs: usize,
    ) -> Option<Vec<i32>> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Some(vec![0; outputs]) };
        let unit = |output: usize| {
            f64::from(input_scale)
                * f64::from(weight_scales[if weight_scales.len() == 1 { 0 } else { output }])
        };
        if let Some(constant) = self.onnx.dequantized_constant(name) {
            let scale = |output: usize| {
                f64::from(constant.scales[if constant.scales.len() == 1 { 0 } else { output }])
            };
            let same = |output| (scale(output) / unit(output) - 1.0).abs() < 1e-6;
            let fits = constant.values.len() == outputs && (0..outputs).all(same);
            return fits.then_some(constant.values);
        }
        let values = self.onnx.floats(name).filter(|values| values.len() == outputs)?;
        let rounded = values.iter().enumerate().map(|(output, value)| {
            let value = (f64::from(*value) / unit(output)).round_ties_even();
            (value.abs() <= f64::from(i32::MAX)).then_some(value as i32)
        });
        rounded.collect()
    }

    fn add(&mut self, index: usize, inputs: &[&'a str], output: &'a str) -> Option<()> {
        let [one, other] = inputs[..] else { return None };
        let (one, other) = (*self.views.get(one)?, *self.views.get(other)?);
        let shape = self.tensors[one.tensor].shape;
        if shape != self.tensors[other.tensor].shape || one.flat != other.flat {
            return None;
        }
        self.wait(index, output, Kind::Add, vec![one.tensor, other.tensor], shape, one.flat);
        Some(())
    }

    fn pooled(&self, view: View) -> Shape {
        [1, 1, self.tensors[view.tensor].shape[2]]
    }

    fn is_spatial_mean(&self, node: &NodeProto, inputs: &[&str]) -> bool {
        let mut axes: Vec<i64> = match attribute(node, "axes") {
            Some(axes) => axes.ints.clone(),
            None => match inputs.get(1).and_then(|name| self.onnx.integers(name)) {
                Some((axes, DataType::Int64)) => axes.into_iter().map(i64::from).collect(),
                _ => return false,
            },
        };
        for axis in &mut axes {
            *axis += if *axis < 0 { 4 } else { 0 };
        }
        axes.sort_unstable();
        axes == [2, 3]
    }

    fn max_pool(&self, node: &NodeProto, view: View) -> Option<(Kind, Shape)> {
        let [height, width, channels] = self.tensors[view.tensor].shape;
        let kernel = sizes(node, "kernel_shape")?.try_into().ok()?;
        if integer(node, "ceil_mode").unwrap_or(0) != 0 || integer(node, "storage_order").unwrap_or(0) != 0 {
            return None;
        }
        let (stride, padding, size) = window(node, kernel, [height, width])?;
        Some((Kind::MaxPool { kernel, stride, padding }, [size[0], size[1], channels]))
    }

    /// What leaves the integer part, and what is left.
    fn finish(mut self) -> Option<IntegerPart> {
        let graph = self.onnx.graph;
        let mut exits = Vec::new();
        let output = &*graph.output.first()?.name;
        if let Some(Pending { kind: Kind::Dense { .. }, activation: Activation::None, .. }) =
            self.pending.get(output)
            && self.onnx.readers(output) == 1
        {
            let Pending { kind, inputs, shape, nodes, .. } = self.pending.remove(output)?;
            self.covered.extend(nodes);
            let name = output.to_string();
            exits.push(Exit { name: name.clone(), tensor: None, flat: true });
            self.layers.push(Layer { name, kind, activation: Activation::None, inputs, output: None, shape });
        }
        let rest: Vec<usize> = self.needed_rest(output);
        let mut wanted: Vec<&str> =
            rest.iter().flat_map(|&index| &graph.node[index].input).map(String::as_str).collect();
        wanted.push(output);
        if wanted.contains(&self.input) {
            return None;
        }
        for name in wanted {
            if self.integers.contains_key(name) {
                return None; // read as integers by something that is not known
            }
            if let Some(&View { tensor, flat }) = self.views.get(name)
                && exits.iter().all(|exit| exit.name != name)
            {
                exits.push(Exit { name: name.to_string(), tensor: Some(tensor), flat });
            }
        }
        self.drop_unneeded(&exits);
        let computes = self.layers.iter().any(|layer| !matches!(layer.kind, Kind::Pixels));
        let Self { tensors, layers, .. } = self;
        (computes && !exits.is_empty()).then_some(IntegerPart { tensors, layers, exits, rest })
    }

    /// The nodes that are not covered and that the output depends on.
    fn needed_rest(&self, output: &str) -> Vec<usize> {
        let graph = self.onnx.graph;
        let mut needed: HashSet<&str> = HashSet::from([output]);
        let mut rest = Vec::new();
        for (index, node) in graph.node.iter().enumerate().rev() {
            let made_here = node.output.iter().any(|output| needed.contains(&**output));
            if made_here && !self.covered.contains(&index) {
                needed.extend(node.input.iter().map(String::as_str));
                rest.push(index);
            }
        }
        rest.reverse();
        rest
    }

    /// Drops layers whose results nothing reads.
    fn drop_unneeded(&mut self, exits: &[Exit]) {
        let mut needed: HashSet<usize> = exits.iter().filter_map(|exit| exit.tensor).collect();
        let mut kept = Vec::new();
        for layer in std::mem::take(&mut self.layers).into_iter().rev() {
            if layer.output.is_none_or(|output| needed.contains(&output)) {
                needed.extend(&layer.inputs);
                kept.push(layer);
            }
        }
        kept.reverse();
        self.layers = kept;
    }
}

/// Rows × columns to columns × rows.
fn transposed(values: &[i8], rows: usize, columns: usize) -> Vec<i8> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// Weights as i8 with the scales of the outputs, which must be along `axis`.
fn symmetric(constant: IntegerConstant, axis: usize) -> Option<(Vec<i8>, Vec<f32>)> {
    let IntegerConstant { values, scales, axis: actual, .. } = constant;
    if scales.len() > 1 && actual != axis {
        return None;
    }
    let values = values.into_iter().map(|value| i8::try_from(value).ok()).collect::<Option<_>>()?;
    Some((values, scales))
}

/// Stride, padding (top, left, bottom, right) and output size of a sliding window.
fn window(
    node: &NodeProto,
    kernel: [usize; 2],
    input: [usize; 2],
) -> Option<([usize; 2], [usize; 4], [usize; 2])> {
    if sizes(node, "dilations").is_some_and(|dilations| dilations.iter().any(|&dilation| dilation != 1)) {
        return None;
    }
    let stride: [usize; 2] =
        sizes(node, "strides").map_or(Some([1, 1]), |strides| strides.try_into().ok())?;
    if stride.contains(&0) || kernel.contains(&0) || input.contains(&0) {
        return None;
    }
    let rule = attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |rule| &rule.s);
    let padding: [usize; 4] = match rule {
        b"NOTSET" | b"" => sizes(node, "pads").map_or(Some([0; 4]), |pads| pads.try_into().ok())?,
        b"VALID" => [0; 4],
        b"SAME_UPPER" | b"SAME_LOWER" => {
            let side = |axis: usize| {
                let outputs = input[axis].div_ceil(stride[axis]);
                let total = ((outputs - 1) * stride[axis] + kernel[axis]).saturating_sub(input[axis]);
                let (less, more) = (total / 2, total - total / 2);
                if rule == b"SAME_UPPER" { (less, more) } else { (more, less) }
            };
            let ((top, bottom), (left, right)) = (side(0), side(1));
            [top, left, bottom, right]
        }
        _ => return None,
    };
    let side = |axis: usize| {
        let padded = input[axis] + padding[axis] + padding[axis + 2];
        Some(padded.checked_sub(kernel[axis])? / stride[axis] + 1)
    };
    Some((stride, padding, [side(0)?, side(1)?]))
}

//! Runs one convolution layer, for tools that watch what the processor executes: `begin_of_layer`
//! is called before it and `end_of_layer` after it. The instructions are those of the environment
//! variable `ANCHORWATCH_KERNEL`, or else the fastest.
//!
//!     layer HEIGHT WIDTH CHANNELS OUTPUTS KERNEL STRIDE GROUPS [direct|depthwise|winograd]

use anchorwatch_kernels::{
    Activation, Convolution, ConvolutionSpec, Isa, Method, Quantization, Requantization, Workers, Workspace,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers = arguments.iter().map_while(|argument| argument.parse().ok());
    let numbers: Vec<usize> = numbers.collect();
    let [height, width, channels, outputs, kernel, stride, groups] = numbers[..] else {
        return Err("usage: layer HEIGHT WIDTH CHANNELS OUTPUTS KERNEL STRIDE GROUPS [METHOD]".into());
    };
    let pad = kernel / 2;
    let spec = ConvolutionSpec {
        height,
        width,
        channels,
        outputs,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [pad; 4],
        groups,
    };
    let mix = |index: usize| ((index as u32).wrapping_mul(2_654_435_761) >> 13) as u8;
    let taps = channels / groups.max(1) * kernel * kernel;
    let weights: Vec<i8> = (0..taps * outputs).map(|index| mix(index) as i8 / 2).collect();
    let input: Vec<u8> = (0..height * width * channels).map(mix).collect();
    let bias = vec![100; outputs];
    let requantization = Requantization {
        input: Quantization { scale: 0.02, zero_point: 114 },
        weight_scales: &[0.01],
        output: Quantization { scale: 0.02 * 0.3 * taps as f32, zero_point: 100 },
        activation: Activation::Relu,
    };
    let isa = Isa::from_environment()?;
    let layer = match arguments.get(7).map(String::as_str) {
        None => Convolution::new(spec, &weights, &bias, &requantization, isa)?,
        Some(name) => {
            let method = match name {
                "direct" => Method::Direct,
                "depthwise" => Method::Depthwise,
                "winograd" => Method::Winograd,
                _ => return Err("the method is direct, depthwise or winograd".into()),
            };
            Convolution::with_method(spec, &weights, &bias, &requantization, isa, method)?
        }
    };
    let [output_height, output_width] = layer.output_size();
    let mut output = vec![0; output_height * output_width * outputs];
    let workers = Workers::one();
    let mut workspace = Workspace::with_bytes(layer.workspace_bytes(workers.count()));
    begin_of_layer();
    layer.run(&input, &mut output, &mut workspace, &workers);
    end_of_layer();
    let sum: u32 = output.iter().map(|&byte| u32::from(byte)).sum();
    println!("{} {:?} {} {sum}", isa.name(), layer.method(), spec.multiply_accumulates());
    Ok(())
}

/// A mark in the sequence of executed instructions.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn begin_of_layer() {
    std::hint::black_box(0);
}

/// A mark in the sequence of executed instructions.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_of_layer() {
    std::hint::black_box(1);
}

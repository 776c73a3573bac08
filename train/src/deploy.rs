//! From a trained network to the two model files, `model.onnx` (int8) and `model.f32.onnx`: folds,
//! quantizes, measures each file with the engine that will run it, and writes centres, thresholds,
//! statistics, golden pictures and provenance into it.

use crate::activation_ranges::RangeMethod;
use crate::architecture::Architecture;
use crate::calibration::{self, Logits};
use crate::calibration_options::CalibrationOptions;
use crate::export::{float_onnx, int8_onnx};
use crate::fold::fold;
use crate::folded::FoldedNetwork;
use crate::interrupt::Interrupt;
use crate::network::{Pass, forward};
use crate::pictures::Pictures;
use crate::progress;
use crate::quantization_aware::{FineTuned, FineTuning};
use crate::quantization_error::{LayerError, layer_errors};
use crate::quantize::{QuantizeOptions, quantize, quantize_with};
use crate::quantized::QuantizedNetwork;
use crate::temperature::{self, Temperature};
use crate::training::normalise;
use crate::variables::Variables;
use anchorwatch::evaluate::{Figures, KnownPicture, class_thresholds, pictures_needed};
use anchorwatch::network::metadata::{Golden, InputSpec, METADATA_VERSION, Metadata, Provenance};
use anchorwatch::network::{Model, ModelFile, ModelProto};
use anchorwatch_core::Verdict;
use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Kind, Tensor};

/// The quantized model's file name.
pub const INT8_FILE: &str = "model.onnx";

/// The float model's file name.
pub const F32_FILE: &str = "model.f32.onnx";

/// Pictures that the ranges of activations are taken from.
const RANGE_PICTURES: usize = 512;

/// Pictures that the quantization error of the layers is measured with.
const ERROR_PICTURES: usize = 64;

/// Pictures that libtorch gets at a time.
const BATCH: usize = 64;

/// Golden pictures a file carries.
const GOLDEN_PICTURES: usize = 4;

/// What goes into the model files.
#[derive(Clone)]
pub struct Deployment<'a> {
    /// The trained network.
    pub architecture: &'a Architecture,
    /// Its values.
    pub variables: &'a Variables,
    /// The model's name, for people.
    pub name: &'a str,
    /// Names of the known classes.
    pub classes: &'a [String],
    /// How a picture becomes the input.
    pub input: &'a InputSpec,
    /// Training pictures, which the centres and the ranges of activations come from.
    pub train: &'a Pictures,
    /// Which of them the centres come from.
    pub centre_pictures: &'a [usize],
    /// Known pictures held out from training: for threshold, statistics and figures.
    pub held_out: &'a Pictures,
    /// Where they come from, for people.
    pub held_out_source: &'a str,
    /// Pictures of unknown objects, for the figures.
    pub unknown: Option<&'a Pictures>,
    /// How thresholds and temperature are found.
    pub calibration: &'a CalibrationOptions,
    /// How the ranges of activations are chosen.
    pub ranges: RangeMethod,
    /// Whether the int8 network is fine-tuned, and when.
    pub fine_tuning: Option<FineTuning<'a>>,
    /// Threads to measure with.
    pub threads: usize,
    /// Where the network comes from; figures and precision are filled in here.
    pub provenance: Provenance,
    /// Ends the work early.
    pub interrupt: &'a Interrupt,
}

/// What was written.
pub struct Deployed {
    /// The int8 file's, then the f32 file's.
    pub reports: [Report; 2],
    /// The network of the int8 file, in float: that of the f32 file, unless it was fine-tuned.
    pub folded: FoldedNetwork,
    /// The network in the int8 file.
    pub quantized: QuantizedNetwork,
    /// What fine-tuning brought, if there was one.
    pub fine_tuned: Option<FineTuned>,
}

/// An int8 network with its file.
struct Int8 {
    folded: FoldedNetwork,
    quantized: QuantizedNetwork,
    file: ModelFile,
    report: Report,
}

/// What was measured of one file.
pub struct Report {
    /// How well it does.
    pub figures: Figures,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// What the file says of itself.
    pub metadata: Metadata,
    /// What it says of the known pictures that it was measured with: [`Deployment::known_pictures`].
    pub known: Judged,
    /// What it says of the unknown ones.
    pub unknown: Option<Judged>,
}

/// What a network says of some pictures, as the engine computes it.
pub struct Judged {
    /// Which of the pictures they are.
    pub indices: Vec<usize>,
    /// Their true classes; of no meaning for unknown pictures.
    pub classes: Vec<usize>,
    /// Their logits.
    pub logits: Logits,
    /// The verdicts at the file's threshold.
    pub verdicts: Vec<Verdict>,
}

impl Judged {
    /// Of known pictures, for the figures.
    pub fn known(&self) -> Vec<KnownPicture> {
        calibration::known_pictures(&self.verdicts, &self.classes)
    }

    /// Compares the scores with the thresholds of a file.
    fn at_thresholds_of(&mut self, metadata: &Metadata) {
        for verdict in &mut self.verdicts {
            let own = verdict.class.map_or(metadata.threshold.value, |class| metadata.threshold_of(class));
            *verdict = verdict.against(own);
        }
    }
}

impl Deployment<'_> {
    /// Writes both files into the folder.
    pub fn write(&self, folder: &Path) -> Result<Deployed> {
        let folded = fold(self.architecture, self.variables);
        let quantized = quantize(&folded, &self.range_batches(), &QuantizeOptions { ranges: self.ranges })?;
        let temperature = self.temperature(&folded)?;
        let mut int8 = self.int8(folded, quantized, temperature)?;
        let (float_file, mut float) = {
            let network = &int8.folded;
            self.model(float_onnx(network), "f32", temperature, &|input: &Tensor| network.logits(input))?
        };
        let mut fine_tuned = None;
        if let Some(asked) = &self.fine_tuning
            && asked.is_due(&int8.report.figures, &float.figures)
        {
            let after = self.fine_tuned(asked, &int8.quantized, temperature)?;
            let [before_figures, after_figures] = [&int8, &after].map(|int8| &int8.report.figures);
            let brought = FineTuned::new(asked.epochs, &float.figures, before_figures, after_figures);
            if brought.is_no_worse() {
                int8 = after;
            }
            fine_tuned = Some(brought);
        }
        let write = |file: &ModelFile, report: &mut Report, name: &str| {
            let path = folder.join(name);
            file.write(&path)?;
            report.bytes =
                std::fs::metadata(&path).with_context(|| format!("cannot read '{}'", path.display()))?.len();
            Ok::<_, anyhow::Error>(())
        };
        write(&int8.file, &mut int8.report, INT8_FILE)?;
        write(&float_file, &mut float, F32_FILE)?;
        let Int8 { folded, quantized, report, .. } = int8;
        Ok(Deployed { reports: [report, float], folded, quantized, fine_tuned })
    }

    /// What the ranges of activations are taken from.
    fn range_batches(&self) -> Vec<Tensor> {
        self.batches(self.train, RANGE_PICTURES)
    }

    /// About `count` pictures, evenly of each class, as inputs.
    fn batches(&self, pictures: &Pictures, count: usize) -> Vec<Tensor> {
        let chosen = pictures.sample(self.classes.len(), count.div_ceil(self.classes.len()));
        chosen.chunks(BATCH).map(|indices| self.inputs(pictures, indices)).collect()
    }

    /// An int8 network, measured, its logits divided by the temperature; `folded` is the same in float.
    fn int8(
        &self,
        mut folded: FoldedNetwork,
        mut quantized: QuantizedNetwork,
        temperature: f64,
    ) -> Result<Int8> {
        if temperature != 1.0 {
            folded.divide_logits(temperature)?;
            quantized.divide_logits(temperature)?;
        }
        let exported = |input: &Tensor| quantized.logits(input);
        let (file, report) = self.model(int8_onnx(&quantized), "int8", temperature, &exported)?;
        Ok(Int8 { folded, quantized, file, report })
    }

    /// The int8 network after fine-tuning, measured.
    fn fine_tuned(&self, asked: &FineTuning, quantized: &QuantizedNetwork, temperature: f64) -> Result<Int8> {
        let variables =
            asked.run(self.architecture, self.variables, quantized, self.train, self.interrupt)?;
        let folded = fold(self.architecture, &variables);
        let outputs: Vec<_> = quantized.nodes.iter().map(|node| node.output).collect();
        let quantized = quantize_with(&folded, &outputs)?;
        let epochs = self.provenance.epochs + asked.epochs as f32;
        let provenance = Provenance { epochs, ..self.provenance.clone() };
        Deployment { variables: &variables, provenance, ..self.clone() }.int8(folded, quantized, temperature)
    }

    /// The known pictures to measure with, which of them, and where they come from, for people. Without
    /// held-out ones the training pictures must do.
    pub fn known_pictures(&self) -> (&Pictures, Vec<usize>, &str) {
        if self.held_out.is_empty() {
            let source = "the training pictures, for want of held-out ones";
            (self.train, self.centre_pictures.to_vec(), source)
        } else {
            (self.held_out, (0..self.held_out.len()).collect(), self.held_out_source)
        }
    }

    /// The quantization errors of the layers, on known pictures that it was measured with.
    pub fn layer_errors(&self, deployed: &Deployed) -> Result<Vec<LayerError>> {
        layer_errors(&deployed.folded, &deployed.quantized, &self.known_batches(ERROR_PICTURES))
    }

    /// About `count` of the known pictures that it is measured with, evenly of each class, as inputs.
    pub fn known_batches(&self, count: usize) -> Vec<Tensor> {
        let (pictures, _, _) = self.known_pictures();
        self.batches(pictures, count)
    }

    /// The temperature; where it is to be fitted, the likeliest for the network in float, or 1 if none is.
    fn temperature(&self, folded: &FoldedNetwork) -> Result<f64> {
        if let Temperature::Value(temperature) = self.calibration.temperature {
            return Ok(temperature);
        }
        let logits = |pictures: &Pictures, indices: &[usize]| -> Result<Tensor> {
            let bar = progress::bar(indices.len() as u64, "temperature");
            let mut parts = Vec::new();
            for part in indices.chunks(BATCH) {
                self.interrupt.check()?;
                parts.push(folded.logits(&self.inputs(pictures, part)));
                bar.inc(part.len() as u64);
            }
            bar.finish_and_clear();
            Ok(Tensor::cat(&parts, 0))
        };
        let values = numbers(logits(self.train, self.centre_pictures)?)?;
        let train_logits = Logits { values, width: self.classes.len() };
        let anchors = calibration::trained_anchors(self.variables, self.classes.len())?;
        let train_classes = self.train.classes_of(self.centre_pictures);
        let (centres, _) = calibration::class_centres(&train_logits, &train_classes, anchors);
        let (known, indices, _) = self.known_pictures();
        let distances = calibration::distances(&logits(known, &indices)?, &Tensor::from_slice2(&centres));
        let Some(fitted) = temperature::fit(&distances, &known.classes_of(&indices)) else {
            log::warn!(
                "no temperature is the likeliest, since all held-out pictures are given their class (or nothing tells classes apart): it stays 1"
            );
            return Ok(1.0);
        };
        let [before, after] = fitted.likelihood;
        log::info!(
            "temperature {:.4}: the negative log-likelihood of the classes goes from {before:.4} to {after:.4} (smaller is better), on the held-out pictures that did not choose it",
            fitted.temperature
        );
        Ok(fitted.temperature)
    }

    /// One model file, measured. `exported` computes the logits that the file as exported must give, by
    /// which the temperature has divided them.
    fn model(
        &self,
        onnx: ModelProto,
        precision: &'static str,
        temperature: f64,
        exported: &dyn Fn(&Tensor) -> Tensor,
    ) -> Result<(ModelFile, Report)> {
        let metadata = Metadata {
            version: METADATA_VERSION,
            name: self.name.to_string(),
            classes: self.classes.to_vec(),
            centres: calibration::anchors(self.classes.len()),
            input: self.input.clone(),
            threshold: calibration::threshold(&[], self.calibration.tpr, ""),
            class_thresholds: Vec::new(),
            class_calibrations: Vec::new(),
            known_scores: Vec::new(),
            training: Provenance {
                precision: precision.to_string(),
                temperature: (temperature != 1.0).then_some(temperature as f32),
                ..self.provenance.clone()
            },
            golden: Vec::new(),
        };
        let mut file = ModelFile { onnx, metadata };
        // There is none yet, and none is asked for while logits are computed.
        file.metadata.threshold.value = 0.0;
        let model = Model::from_file(&file).context("the exported network does not run")?.with_threads(1);
        let run = |pictures: &Pictures, indices: &[usize], what: &str| {
            self.engine_logits(&model, pictures, indices, &format!("{precision}: {what}"))
        };
        let train_logits = run(self.train, self.centre_pictures, "class centres")?;
        let mut anchors = calibration::trained_anchors(self.variables, self.classes.len())?;
        anchors.iter_mut().flatten().for_each(|value| *value = (f64::from(*value) / temperature) as f32);
        let train_classes = self.train.classes_of(self.centre_pictures);
        let (centres, without) = calibration::class_centres(&train_logits, &train_classes, anchors);
        for class in without {
            log::warn!(
                "{precision}: no training picture of '{}' is classified correctly: its anchor stands in for its centre",
                self.classes[class]
            );
        }
        let judge = |pictures: &Pictures, indices: Vec<usize>, what: &str| {
            let logits = run(pictures, &indices, what)?;
            let verdicts = calibration::verdicts(&logits, &centres)?;
            Ok::<_, anyhow::Error>(Judged {
                classes: pictures.classes_of(&indices),
                indices,
                logits,
                verdicts,
            })
        };
        let (known_pictures, known_indices, source) = self.known_pictures();
        let mut judged_known = judge(known_pictures, known_indices, "held-out pictures")?;
        let mut judged_unknown = match self.unknown {
            Some(pictures) => Some(judge(pictures, (0..pictures.len()).collect(), "unknown pictures")?),
            None => None,
        };
        let known = judged_known.known();
        file.metadata.centres = centres;
        file.metadata.known_scores = calibration::class_scores(self.classes, &known);
        self.calibrate(&mut file.metadata, &known, source);
        judged_known.at_thresholds_of(&file.metadata);
        if let Some(judged) = &mut judged_unknown {
            judged.at_thresholds_of(&file.metadata);
        }
        let figures = figures(&file.metadata, &judged_known, judged_unknown.as_ref());
        file.metadata.training.metrics = metrics(&figures);
        let golden = golden_indices(&known, self.classes.len());
        file.metadata.golden = golden
            .iter()
            .map(|&index| {
                self.golden(
                    known_pictures,
                    judged_known.indices[index],
                    judged_known.logits.row(index).to_vec(),
                    temperature,
                )
            })
            .collect::<Result<_>>()?;
        let inputs = golden.iter().map(|&index| self.inputs(known_pictures, &[judged_known.indices[index]]));
        let references: Vec<Vec<f32>> =
            inputs.map(|input| numbers(exported(&input))).collect::<Result<_>>()?;
        agrees_with_libtorch(precision, &file.metadata.golden, &references)?;
        let metadata = file.metadata.clone();
        Ok((file, Report { figures, bytes: 0, metadata, known: judged_known, unknown: judged_unknown }))
    }

    /// Finds the thresholds of a block that has its centres. The pictures that chose the temperature have no
    /// part in it.
    fn calibrate(&self, metadata: &mut Metadata, known: &[KnownPicture], source: &str) {
        let CalibrationOptions { tpr, per_class, temperature } = *self.calibration;
        let precision = &metadata.training.precision;
        let (known, source) = match temperature {
            Temperature::Value(_) => (known.to_vec(), source.to_string()),
            Temperature::Fit => {
                let classes: Vec<usize> = known.iter().map(|picture| picture.class).collect();
                let [_, others] = temperature::halves(&classes);
                let others = others.into_iter().map(|index| known[index]).collect();
                (others, format!("half of {source}, of which the other half chose the temperature"))
            }
        };
        metadata.threshold = calibration::threshold(&known, tpr, &source);
        if !per_class {
            return;
        }
        let own = class_thresholds(&known, self.classes.len(), tpr, &source);
        for (class, _) in own.iter().enumerate().filter(|(_, own)| own.is_none()) {
            let given = known.iter().filter(|picture| picture.predicted == Some(class)).count();
            log::warn!(
                "{precision}: '{}' has the threshold of all classes: {given} held-out pictures are given it, and one of its own takes {}",
                self.classes[class],
                pictures_needed(tpr)
            );
        }
        metadata.set_class_thresholds(&own);
    }

    /// Normalised inputs of these pictures, B×C×H×W.
    fn inputs(&self, pictures: &Pictures, indices: &[usize]) -> Tensor {
        normalise(pictures.batch(indices).to_kind(Kind::Float) / 255.0, self.input)
    }

    /// The logits of these pictures as the engine computes them, by several threads.
    fn engine_logits(
        &self,
        model: &Model,
        pictures: &Pictures,
        indices: &[usize],
        what: &str,
    ) -> Result<Logits> {
        let bar = progress::bar(indices.len() as u64, what);
        let interrupt = self.interrupt;
        let share = indices.len().div_ceil(self.threads.max(1)).max(1);
        let parts = std::thread::scope(|scope| {
            let workers: Vec<_> = indices
                .chunks(share)
                .map(|indices| {
                    let bar = &bar;
                    scope.spawn(move || {
                        let mut session = model.session()?;
                        let mut values = Vec::new();
                        for &index in indices {
                            interrupt.check()?;
                            values.extend_from_slice(session.logits(pictures.picture(index))?);
                            bar.inc(1);
                        }
                        Ok::<_, anyhow::Error>(values)
                    })
                })
                .collect();
            let parts: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            parts
        });
        bar.finish_and_clear();
        let mut values = Vec::new();
        for part in parts {
            values.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(Logits { values, width: self.classes.len() })
    }

    /// A golden picture: what the trained network says of it, and what the engine does.
    fn golden(
        &self,
        pictures: &Pictures,
        index: usize,
        logits: Vec<f32>,
        temperature: f64,
    ) -> Result<Golden> {
        let input = self.inputs(pictures, &[index]);
        let trained = tch::no_grad(|| forward(self.architecture, self.variables, &input, Pass::Evaluation));
        let trained = trained / temperature;
        Ok(Golden {
            png: BASE64_STANDARD.encode(pictures.png(index)?),
            logits_f32: numbers(trained)?,
            logits,
        })
    }
}

fn numbers(logits: Tensor) -> Result<Vec<f32>> {
    Ok(Vec::<f32>::try_from(logits.flatten(0, -1).contiguous())?)
}

/// Whether the engine computes what the exported file says, which libtorch computed in f64. In a
/// deep quantized network the two differ as two draws of the quantization noise do (see
/// [`crate::quantized`]): so they must not be further apart than twice what quantization has changed
/// at most, or a fiftieth of the largest logit if that is more.
fn agrees_with_libtorch(precision: &str, golden: &[Golden], references: &[Vec<f32>]) -> Result<()> {
    let furthest = |one: &[f32], other: &[f32]| {
        one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
    };
    let mut scale = 1.0f32;
    let (mut from_reference, mut from_f32) = (0.0f32, 0.0f32);
    for (golden, reference) in golden.iter().zip(references) {
        scale = reference.iter().fold(scale, |scale, logit| scale.max(logit.abs()));
        from_reference = from_reference.max(furthest(&golden.logits, reference));
        from_f32 = from_f32.max(furthest(reference, &golden.logits_f32));
    }
    anyhow::ensure!(
        from_reference <= (2.0 * from_f32).max(scale / 50.0),
        "{precision}: the engine does not compute what the exported file says: a logit of a golden picture differs by {from_reference} from libtorch's, where quantization itself changes {from_f32} at most. Please report this with the command"
    );
    log::info!(
        "{precision}: the engine agrees with libtorch (largest difference of a logit {from_reference:.4}, of quantization itself {from_f32:.4})"
    );
    Ok(())
}

/// A few pictures that stand for their classes: rightly classified ones with the class's median score,
/// so that they are not on the line.
fn golden_indices(known: &[KnownPicture], classes: usize) -> Vec<usize> {
    let count = classes.min(GOLDEN_PICTURES);
    let chosen = (0..count).filter_map(|number| {
        let class = number * classes / count;
        let mut right: Vec<usize> = (0..known.len())
            .filter(|&index| known[index].class == class && known[index].predicted == Some(class))
            .collect();
        right.sort_by(|&one, &other| known[one].score.total_cmp(&known[other].score));
        right.get(right.len() / 2).copied()
    });
    let chosen: Vec<usize> = chosen.collect();
    if chosen.is_empty() { (0..known.len().min(1)).collect() } else { chosen }
}

/// The figures of a block, of pictures judged at its thresholds. Where classes have thresholds of their own,
/// of score ÷ threshold.
fn figures(metadata: &Metadata, known: &Judged, unknown: Option<&Judged>) -> Figures {
    let all_the_same = metadata.class_thresholds.is_empty();
    let score = |verdict: &Verdict| if all_the_same { verdict.score } else { verdict.relative_score() };
    let mut pictures = known.known();
    for (picture, verdict) in pictures.iter_mut().zip(&known.verdicts) {
        picture.score = score(verdict);
    }
    let unknown: Vec<f32> = unknown.iter().flat_map(|judged| judged.verdicts.iter().map(score)).collect();
    Figures::new(&pictures, &unknown, if all_the_same { metadata.threshold.value } else { 1.0 })
}

/// The figures by name, as they stand in the model's block.
pub fn metrics(figures: &Figures) -> BTreeMap<String, f64> {
    let named = [
        ("accuracy", Some(figures.accuracy)),
        ("tpr", Some(figures.tpr)),
        ("fpr", figures.fpr),
        ("auroc", figures.auroc),
        ("fpr_at_95_tpr", figures.fpr_at_95_tpr),
        ("oscr", figures.oscr),
    ];
    let number =
        |(name, value): (&str, Option<f64>)| Some((name.to_string(), value.filter(|v| v.is_finite())?));
    named.into_iter().filter_map(number).collect()
}

/// Four decimals, and more where these would be noughts: thresholds of tight clusters are tiny.
pub fn digits(value: f64) -> String {
    if value == 0.0 || value.abs() >= 1e-2 { format!("{value:.4}") } else { format!("{value:.2e}") }
}

/// The figures of both files side by side: what it is, with its direction; the int8 file's; the f32
/// file's. What was not measured is left out.
pub fn figure_rows(reports: &[Report; 2]) -> Vec<[String; 3]> {
    let [int8, float] = reports;
    let size = |report: &Report| format!("{:.2}", report.bytes as f64 / 1e6);
    let mut rows = vec![["size, MB".to_string(), size(int8), size(float)]];
    let mut row = |what: &str, of: &dyn Fn(&Report) -> Option<f64>| {
        let [one, other] = [of(int8), of(float)].map(|value| value.filter(|value| value.is_finite()));
        if let (Some(one), Some(other)) = (one, other) {
            rows.push([what.to_string(), digits(one), digits(other)]);
        }
    };
    let classes = int8.metadata.classes.len();
    let accuracy = format!("accuracy of {classes} known classes (higher is better)");
    row(&accuracy, &|report| Some(report.figures.accuracy));
    let threshold = |report: &Report| Some(f64::from(report.metadata.threshold.value));
    row("threshold (a larger score is more unknown)", &threshold);
    row("known pictures accepted at it, TPR", &|report| Some(report.figures.tpr));
    row("unknown pictures accepted at it (lower is better)", &|report| report.figures.fpr);
    row("AUROC, unknown against known (higher is better)", &|report| report.figures.auroc);
    row("FPR@95TPR (lower is better)", &|report| report.figures.fpr_at_95_tpr);
    row("OSCR (higher is better)", &|report| report.figures.oscr);
    if reports.iter().any(|report| !report.metadata.class_calibrations.is_empty()) {
        let of_their_own = |report: &Report| report.metadata.class_calibrations.len().to_string();
        let what = "classes with a threshold of their own".to_string();
        rows.push([what, of_their_own(int8), of_their_own(float)]);
    }
    rows
}

/// Prints the figures of both files.
pub fn print_reports(reports: &[Report; 2]) {
    println!("{:<52}{:>10}{:>10}", "", "int8", "f32");
    println!("{:<52}{:>10}{:>10}", "file", INT8_FILE, "model.f32");
    for [what, one, other] in figure_rows(reports) {
        println!("{what:<52}{one:>10}{other:>10}");
    }
    let figures = &reports[0].figures;
    println!("on {} known and {} unknown pictures", figures.known_pictures, figures.unknown_pictures);
}

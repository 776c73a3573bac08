//! The built trainer from a folder of pictures to model files, and those files in the runtime's
//! engine.

mod made;

use anchorwatch::network::{Model, ModelFile};
use made::{KNOWN, UNKNOWN, cuttings, data, fail, fit, names, succeed, trainer};
use safetensors::tensor::{SafeTensors, TensorView};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[test]
fn a_folder_of_pictures_becomes_a_model_that_the_runtime_agrees_with() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (data(folder.path()), folder.path().join("out"));
    // One that cannot be read is left out and named, and stops nothing.
    std::fs::write(data.join("train/owl/cut.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    std::fs::write(data.join("train/orange/empty.jpg"), b"").unwrap();
    let mut command = fit(&data, &out, &["--backbone", "tiny", "--epochs", "25"]);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains("empty.jpg"), "{stderr}");
    assert!(stdout.contains("on 36 known and 24 unknown pictures"), "{stdout}");
    assert_eq!(names(&out), ["checkpoint.safetensors", "model.f32.onnx", "model.onnx"]);

    for (name, precision) in [("model.onnx", "int8"), ("model.f32.onnx", "f32")] {
        let model = Model::load(&out.join(name)).unwrap();
        let metadata = model.metadata();
        assert_eq!(metadata.classes, ["espresso", "goldfish", "orange"]);
        assert_eq!(metadata.training.precision, precision);
        assert_eq!(metadata.training.train_pictures, [24, 24, 24]);
        assert!(!metadata.training.command.contains(folder.path().to_str().unwrap()));
        assert_eq!(model.all_integer(), precision == "int8");
        assert_eq!(metadata.golden.len(), 3);
        assert!(model.verify().unwrap().iter().all(|result| result.passes()));
        let metric = |name: &str| metadata.training.metrics[name];
        assert!(metric("accuracy") > 0.9, "{precision}: {:?}", metadata.training.metrics);
        assert!(metric("auroc") > 0.8, "{precision}: {:?}", metadata.training.metrics);
        assert!(metric("tpr") >= 0.95);
    }

    // What is there is not replaced unasked.
    let before = std::fs::read(out.join("model.onnx")).unwrap();
    assert!(fail(fit(&data, &out, &["--backbone", "tiny"])).contains("--overwrite"));
    assert_eq!(std::fs::read(out.join("model.onnx")).unwrap(), before);
}

#[test]
fn interrupted_and_resumed_it_gives_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let options = ["--backbone", "tiny", "--size", "16", "--epochs", "60", "--seed", "7"];
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    succeed(fit(&data, &whole, &options));

    let mut child =
        fit(&data, &broken, &options).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told = String::new();
    let mut interrupted = false;
    for line in lines {
        let line = line.unwrap();
        if !interrupted && line.starts_with("step 6/") {
            let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            assert!(kill.success());
            interrupted = true;
        }
        told += &line;
        told += "\n";
    }
    assert_eq!(child.wait().unwrap().code(), Some(3), "{told}");
    assert!(told.contains("--resume"), "{told}");
    assert_eq!(names(&broken), ["checkpoint.safetensors"]);

    // With other settings it would be another network.
    let mut other = options.to_vec();
    other[7] = "8";
    other.push("--resume");
    assert!(fail(fit(&data, &broken, &other)).contains("seed"));
    let mut same = options.to_vec();
    same.push("--resume");
    succeed(fit(&data, &broken, &same));
    let [whole, broken] = [whole, broken].map(|out| ModelFile::read(&out.join("model.onnx")).unwrap());
    assert_eq!(whole.onnx.graph, broken.onnx.graph);
    assert_eq!(whole.metadata.centres, broken.metadata.centres);
    assert_eq!(whole.metadata.threshold, broken.metadata.threshold);
    assert_eq!(whole.metadata.golden, broken.metadata.golden);
}

/// Name and bytes of the graph's constants: those that a temperature changes, and all the others.
fn constants(file: &ModelFile) -> [Vec<(&str, &[u8])>; 2] {
    let constants = &file.onnx.graph.as_ref().unwrap().initializer;
    let all = constants.iter().map(|constant| (constant.name.as_str(), constant.raw_data.as_slice()));
    let (of_last, others) =
        all.partition(|(name, _)| name.starts_with("classify.") && name.ends_with("_scale"));
    [of_last, others]
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn are_halves_of(halves: &[f32], numbers: &[f32]) -> bool {
    halves.len() == numbers.len() && halves.iter().zip(numbers).all(|(half, number)| *half == number / 2.0)
}

#[test]
fn thresholds_of_classes_and_a_temperature_need_no_other_training() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("things");
    for (class, sample) in KNOWN.iter().chain(&UNKNOWN) {
        cuttings(sample, &data.join("train").join(class), 0, 24);
        cuttings(sample, &data.join("val").join(class), 24, 40);
    }
    // Some held-out oranges are said to be espressos: no temperature makes all of them likely.
    cuttings(KNOWN[2].1, &data.join("val/espresso"), 64, 4);
    let plain = folder.path().join("plain");
    let options = ["--backbone", "tiny", "--size", "16", "--epochs", "40"];
    succeed(fit(&data, &plain, &options));
    let again = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        std::fs::create_dir(&out).unwrap();
        std::fs::copy(plain.join("checkpoint.safetensors"), out.join("checkpoint.safetensors")).unwrap();
        let Output { status, stdout, stderr } =
            fit(&data, &out, &[&options[..], &["--resume"], more].concat()).output().unwrap();
        let told = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(status.success(), "{told}");
        let files = ["model.onnx", "model.f32.onnx"].map(|name| {
            let model = Model::load(&out.join(name)).unwrap();
            assert!(model.verify().unwrap().iter().all(|result| result.passes()));
            ModelFile::read(&out.join(name)).unwrap()
        });
        (files, told)
    };
    let ([one, _], _) = again("one", &[]);
    assert_eq!(one.metadata.training.temperature, None);

    // Of the int8 file only the scales of the last layer are others; the logits are halves.
    let ([two, float], told) = again("two", &["--temperature", "2", "--per-class", "--tpr", "0.9"]);
    let ([scales, others], [halves, same]) = (constants(&one), constants(&two));
    assert_eq!(others, same);
    assert_eq!((scales.len(), halves.len()), (2, 2));
    for ((name, bytes), (_, of_halves)) in scales.iter().zip(&halves) {
        assert!(are_halves_of(&floats(of_halves), &floats(bytes)), "{name}");
    }
    for (row, halves) in one.metadata.centres.iter().zip(&two.metadata.centres) {
        assert!(are_halves_of(halves, row), "{row:?} {halves:?}");
    }
    assert_eq!(two.metadata.training.temperature, Some(2.0));
    let accuracy = |file: &ModelFile| file.metadata.training.metrics["accuracy"];
    assert_eq!(accuracy(&one), accuracy(&two));
    assert!(told.contains("classes with a threshold of their own"), "{told}");
    for file in [&two, &float] {
        let found = &file.metadata.class_calibrations;
        assert_eq!((file.metadata.version, found.len()), (2, 3));
        assert_eq!(found.iter().map(|one| one.threshold.pictures).sum::<usize>(), 124);
        assert!(
            found.iter().all(|one| one.threshold.measured_tpr >= 0.9 && one.threshold.promise().is_some())
        );
        assert!(file.metadata.training.metrics["tpr"] >= 0.9);
    }

    // Fitted: half of the held-out pictures choose it, and the others the threshold.
    let (fitted, told) = again("fitted", &["--temperature", "fit"]);
    assert!(told.contains("negative log-likelihood"), "{told}");
    for file in &fitted {
        let (temperature, threshold) = (file.metadata.training.temperature, &file.metadata.threshold);
        assert!(temperature.is_some_and(|temperature| temperature != 1.0));
        assert_eq!(threshold.pictures, 62, "{threshold:?}");
        assert!(threshold.source.starts_with("half of the level 'val'"), "{threshold:?}");
    }

    // 100 pictures of each class it would take.
    let ([few, _], told) = again("few", &["--per-class", "--tpr", "0.99"]);
    assert!(told.contains("'orange' has the threshold of all classes"), "{told}");
    assert_eq!((few.metadata.version, few.metadata.class_thresholds.len()), (1, 0));
    assert!(fail(fit(&data, &plain, &["--per-class", "--tpr", "1"])).contains("--tpr below 1"));
}

fn quantize(from: &Path, data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = trainer(["quantize", "--threads", "1", "--from"]);
    command.arg(from).arg("--data").arg(data).arg("--out").arg(out).args(more);
    command
}

#[test]
fn a_finished_training_is_quantized_anew_fine_tuned_and_analysed() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let [fitted, again, tuned] = ["fitted", "again", "tuned"].map(|name| folder.path().join(name));
    let options = ["--backbone", "tiny", "--epochs", "20", "--width", "0.5", "--average", "0.9"];
    let about = ["--licence", "CC0", "--data-note", "cuttings", "--name", "things"];
    succeed(fit(&data, &fitted, &[&options[..], &about].concat()));

    // The checkpoint says it all: the same network comes of it, by name too.
    succeed(quantize(&fitted, &data, &again, &[]));
    for name in ["model.onnx", "model.f32.onnx"] {
        let [one, other] = [&fitted, &again].map(|out| ModelFile::read(&out.join(name)).unwrap());
        assert_eq!(one.onnx.graph, other.onnx.graph);
        assert_eq!(one.metadata.centres, other.metadata.centres);
        assert_eq!(one.metadata.threshold, other.metadata.threshold);
        assert_eq!((&*other.metadata.name, &*other.metadata.training.licence), ("things", "CC0"));
        assert_eq!(other.metadata.training.data, "cuttings");
    }

    let more = ["--ranges", "percentile:0.99", "--qat", "3", "--analyze", "--json"];
    let json: serde_json::Value =
        serde_json::from_str(&succeed(quantize(&fitted, &data, &tuned, &more))).unwrap();
    let layers = json["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[1], names[names.len() - 1]), ("pixels", "stem.conv", "classify"));
    for layer in layers {
        let number = |key: &str| layer[key].as_f64().unwrap();
        assert!(number("sqnr_db") > 0.0 && number("alone_sqnr_db") > 0.0, "{layer}");
        assert!(number("mean_absolute") > 0.0, "{layer}");
    }
    let number = |part: &str, key: &str| json[part][key].as_f64().unwrap();
    assert!(number("int8", "accuracy") > 0.5 && number("f32", "auroc") > 0.5, "{json}");
    assert_eq!(number("fine_tuned", "epochs"), 3.0);
    assert_eq!(json["fine_tuned"]["measure"], "auroc");
    assert_eq!(number("fine_tuned", "float"), number("f32", "auroc"));
    let [before, after] = ["post_training", "fine_tuned"].map(|key| number("fine_tuned", key));
    assert_eq!(number("int8", "auroc"), before.max(after));
    let int8 = Model::load(&tuned.join("model.onnx")).unwrap();
    assert!(int8.all_integer() && int8.verify().unwrap().iter().all(|result| result.passes()));
    assert_eq!(int8.metadata().training.epochs, if after >= before { 23.0 } else { 20.0 });
    let float = ModelFile::read(&tuned.join("model.f32.onnx")).unwrap();
    assert_eq!(float.onnx.graph, ModelFile::read(&fitted.join("model.f32.onnx")).unwrap().onnx.graph);

    // For people; and no fine-tuning where little is lost.
    let text = succeed(quantize(&fitted, &data, &again, &["--overwrite", "--analyze", "--qat-above", "0.9"]));
    assert!(text.contains("logits' SQNR, alone") && text.contains("block0.depthwise.conv"), "{text}");
    assert!(!text.contains("fine-tuned"), "{text}");

    // What it does not know, what is there already, what is no training.
    let error = fail(quantize(&fitted, &data, &tuned, &["--known", "espresso,owl", "--overwrite"]));
    assert!(error.contains("espresso,goldfish,orange"), "{error}");
    assert!(fail(quantize(&fitted, &data, &tuned, &[])).contains("--overwrite"));
    let error = fail(quantize(&data, &data, &again, &[]));
    assert!(error.contains("checkpoint.safetensors"), "{error}");
    assert!(fail(quantize(&fitted, &data, &again, &["--qat", "0"])).contains("--qat"));
}

#[test]
fn a_fine_tuning_can_be_interrupted_and_leaves_no_half_of_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let (data, fitted, out) = (data(folder.path()), folder.path().join("fitted"), folder.path().join("out"));
    let text = succeed(fit(
        &data,
        &fitted,
        &["--backbone", "tiny", "--size", "16", "--epochs", "2", "--qat", "1", "--temperature", "2"],
    ));
    assert!(text.contains("int8 fine-tuned for 1 epoch(s): AUROC"), "{text}");
    let int8 = Model::load(&fitted.join("model.onnx")).unwrap();
    assert!(int8.verify().unwrap().iter().all(|result| result.passes()));
    // The temperature has divided the logits of both, and once.
    assert_eq!(int8.metadata().training.temperature, Some(2.0));
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    for golden in &int8.metadata().golden {
        let pairs = golden.logits.iter().zip(&golden.logits_f32);
        let off = largest(&mut pairs.map(|(int8, float)| int8 - float));
        assert!(off < 0.3 * largest(&mut golden.logits_f32.iter().copied()), "{golden:?}");
    }
    let mut child = quantize(&fitted, &data, &out, &["--qat", "100000"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if !told.contains("\nstep ") && line.starts_with("step ") {
            let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            assert!(kill.success());
        }
        told += "\n";
        told += &line;
    }
    assert_eq!(child.wait().unwrap().code(), Some(3), "{told}");
    assert!(told.contains("nothing was written"), "{told}");
    assert!(names(&out).is_empty());
}

/// A checkpoint of ours with the authors' names: those of `cac9` are theirs.
fn as_the_authors_have_it(ours: &Path, theirs: &Path) {
    let bytes = std::fs::read(ours).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let variables: Vec<(String, TensorView)> = tensors
        .iter()
        .filter_map(|(name, view)| Some((name.strip_prefix("variable.")?.to_string(), view)))
        .collect();
    safetensors::serialize_to_file(variables, None, theirs).unwrap();
}

#[test]
fn a_checkpoint_of_the_authors_form_becomes_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let (data, fitted, imported) =
        (data(folder.path()), folder.path().join("fitted"), folder.path().join("imported"));
    succeed(fit(
        &data,
        &fitted,
        &["--backbone", "cac9", "--activation", "leaky-relu", "--size", "16", "--epochs", "10"],
    ));
    let (checkpoint, split) = (folder.path().join("authors.safetensors"), folder.path().join("split.json"));
    as_the_authors_have_it(&fitted.join("checkpoint.safetensors"), &checkpoint);
    // Of the sorted names espresso, goldfish, orange, owl, shuttle.
    std::fs::write(&split, r#"{"Known": [2, 0, 1], "Unknown": [3, 4]}"#).unwrap();
    let float = Model::load(&fitted.join("model.f32.onnx")).unwrap();
    let listed = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let input = &float.metadata().input;
    let import = |checkpoint: &Path, split: &Path| {
        let mut command = trainer(["import", "--threads", "1", "--overwrite"]);
        command.arg("--checkpoint").arg(checkpoint).arg("--split").arg(split);
        command.arg("--data").arg(&data).arg("--out").arg(&imported);
        command.args(["--mean", &listed(&input.mean), "--std", &listed(&input.std)]);
        command
    };
    assert!(succeed(import(&checkpoint, &split)).contains("on 36 known and 24 unknown pictures"));

    let brought = Model::load(&imported.join("model.f32.onnx")).unwrap();
    assert_eq!(brought.metadata().classes, ["espresso", "goldfish", "orange"]);
    let (mut one, mut other) = (float.session().unwrap(), brought.session().unwrap());
    for seed in 0..20u32 {
        let pixels: Vec<u8> =
            (0..16 * 16 * 3).map(|index: u32| (index * (seed + 3) * 7 % 251) as u8).collect();
        assert_eq!(one.logits(&pixels).unwrap(), other.logits(&pixels).unwrap());
    }
    let int8 = Model::load(&imported.join("model.onnx")).unwrap();
    assert!(int8.all_integer() && int8.verify().unwrap().iter().all(|result| result.passes()));

    // Not the authors' network, a split of other classes, and no checkpoint at all.
    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, r#"{"Known": [0, 1], "Unknown": [3]}"#).unwrap();
    assert!(fail(import(&checkpoint, &wrong)).contains("2 known classes"));
    std::fs::write(&wrong, r#"{"Known": [0, 1, 9], "Unknown": [3]}"#).unwrap();
    assert!(fail(import(&checkpoint, &wrong)).contains("class 9"));
    assert!(fail(import(&fitted.join("model.onnx"), &split)).contains("model.onnx"));
    let ours = fitted.join("checkpoint.safetensors");
    assert!(fail(import(&ours, &split)).contains("encoder.conv1.weight"));
}

#[test]
fn what_cannot_be_trained_on_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (data(folder.path()), folder.path().join("out"));
    let plain = |data: &Path, out: &Path, more: &[&str]| {
        let mut command = trainer(["fit", "--backbone", "tiny", "--size", "16", "--epochs", "1"]);
        command.arg("--data").arg(data).arg("--out").arg(out).args(more);
        fail(command)
    };
    assert!(plain(&folder.path().join("none"), &out, &[]).contains("none"));
    let empty = folder.path().join("empty");
    std::fs::create_dir_all(empty.join("thing")).unwrap();
    assert!(plain(&empty, &out, &[]).contains("picture"));
    let one = folder.path().join("one");
    cuttings("known/orange-1.jpg", &one.join("orange"), 0, 8);
    assert!(plain(&one, &out, &[]).contains("class"));
    assert!(plain(&data, &out, &["--known", "espresso,zebra"]).contains("zebra"));
    let overlap = ["--known", "espresso,orange", "--unknown", "orange,owl"];
    assert!(plain(&data, &out, &overlap).contains("orange"));
    // All that a class has is broken.
    let broken = folder.path().join("broken");
    cuttings("known/orange-1.jpg", &broken.join("orange"), 0, 8);
    std::fs::create_dir_all(broken.join("owl")).unwrap();
    for name in ["a.jpg", "b.jpg", "c.png"] {
        std::fs::write(broken.join("owl").join(name), b"no picture").unwrap();
    }
    assert!(plain(&broken, &out, &[]).contains("owl"));
    assert!(!out.exists() || names(&out).is_empty());

    // A file stands where the folder should be.
    let taken = folder.path().join("taken");
    std::fs::write(&taken, b"").unwrap();
    assert!(plain(&data, &taken, &[]).contains("taken"));
}

#[test]
fn a_class_with_one_picture_can_be_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("few"), folder.path().join("out"));
    cuttings("known/orange-1.jpg", &data.join("orange"), 0, 12);
    cuttings("known/espresso-1.jpg", &data.join("espresso"), 0, 12);
    cuttings("unknown/owl-1.jpg", &data.join("owl"), 0, 1);
    let mut command =
        trainer(["fit", "--backbone", "tiny", "--size", "16", "--epochs", "2", "--threads", "1"]);
    command.arg("--data").arg(&data).arg("--out").arg(&out);
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{stderr}");
    assert!(stderr.contains("owl"), "{stderr}");
    assert_eq!(Model::load(&out.join("model.onnx")).unwrap().metadata().classes.len(), 3);
}

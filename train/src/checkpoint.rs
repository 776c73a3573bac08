//! Saves a training under way and brings it back: variables, momentum, average, how far it is, what it did
//! so far, and the recipe.
//! One safetensors file; the numbers that are not tensors are in its metadata.

use crate::average::Average;
use crate::history::History;
use crate::recipe::Recipe;
use crate::sgd::Sgd;
use crate::variables::Variables;
use anyhow::{Context, Result, anyhow, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use tch::{Kind, Tensor};

/// The file's name in the output folder.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

const VARIABLE: &str = "variable.";
const MOMENTUM: &str = "momentum.";
const AVERAGE: &str = "average.";

/// A training as it was saved.
#[derive(Debug)]
pub struct Checkpoint {
    /// What was being trained.
    pub recipe: Recipe,
    /// Steps done.
    pub step: u64,
    /// What they did.
    pub history: History,
    variables: BTreeMap<String, Tensor>,
    velocities: BTreeMap<String, Tensor>,
    average: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Writes a checkpoint; the one before stays until the new one is whole.
    pub fn save(
        path: &Path,
        recipe: &Recipe,
        step: u64,
        history: &History,
        variables: &Variables,
        sgd: &Sgd,
        average: &Average,
    ) -> Result<()> {
        let mut tensors = Vec::new();
        let parts =
            [(VARIABLE, variables.by_name()), (MOMENTUM, sgd.velocities()), (AVERAGE, average.values())];
        for (prefix, map) in parts {
            for (name, tensor) in map {
                let mut bytes = vec![0; tensor.numel() * 4];
                tensor.detach().contiguous().f_copy_data_u8(&mut bytes, tensor.numel())?;
                let shape = tensor.size().into_iter().map(|side| side as usize).collect::<Vec<_>>();
                tensors.push((format!("{prefix}{name}"), shape, bytes));
            }
        }
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>>>()?;
        let facts = HashMap::from([
            ("recipe".to_string(), serde_json::to_string(recipe)?),
            ("step".to_string(), step.to_string()),
            ("history".to_string(), serde_json::to_string(history)?),
        ]);
        let bytes = safetensors::serialize(views, Some(facts))?;
        write_whole(path, &bytes)
    }

    /// Reads a checkpoint.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read '{}'", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("'{}' is not a usable checkpoint", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let facts = header.metadata().as_ref().context("it has no metadata")?;
        let fact = |key: &str| facts.get(key).with_context(|| format!("it has no '{key}'"));
        let mut checkpoint = Self {
            recipe: serde_json::from_str(fact("recipe")?).context("its recipe is of another version")?,
            step: fact("step")?.parse()?,
            // Checkpoints of before there was one have none.
            history: facts
                .get("history")
                .map_or(Ok(History::default()), |text| serde_json::from_str(text))?,
            variables: BTreeMap::new(),
            velocities: BTreeMap::new(),
            average: BTreeMap::new(),
        };
        for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
            if view.dtype() != Dtype::F32 {
                bail!("'{name}' is not f32");
            }
            let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?;
            if let Some(name) = name.strip_prefix(VARIABLE) {
                checkpoint.variables.insert(name.to_string(), tensor);
            } else if let Some(name) = name.strip_prefix(MOMENTUM) {
                checkpoint.velocities.insert(name.to_string(), tensor);
            } else if let Some(name) = name.strip_prefix(AVERAGE) {
                checkpoint.average.insert(name.to_string(), tensor);
            }
        }
        Ok(checkpoint)
    }

    /// Puts the saved values into a network, its optimiser and its average.
    pub fn restore(self, variables: &mut Variables, sgd: &mut Sgd, average: &mut Average) -> Result<()> {
        variables.assign(&self.variables, None)?;
        sgd.restore(beside(variables, self.velocities, "momentum")?);
        average.restore(beside(variables, self.average, "average")?);
        Ok(())
    }
}

/// Saved tensors that belong to a network's variables, with these one's shapes (checked) and memory
/// layout (for speed).
fn beside(
    variables: &Variables,
    saved: BTreeMap<String, Tensor>,
    what: &str,
) -> Result<BTreeMap<String, Tensor>> {
    let mut restored = BTreeMap::new();
    for (name, saved) in saved {
        let variable = variables
            .by_name()
            .get(&name)
            .filter(|variable| variable.size() == saved.size())
            .ok_or_else(|| anyhow!("the {what} of '{name}' fits no variable"))?;
        let mut value = variable.detach().zeros_like();
        value.copy_(&saved);
        restored.insert(name, value);
    }
    Ok(restored)
}

/// Writes a file under a temporary name, then renames it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("cannot write '{}'", path.display());
    let folder = path.parent().context("a file needs a folder")?;
    let mut file = tempfile::Builder::new()
        .prefix(".anchorwatch-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones;
    use crate::history::StepRecord;
    use crate::recipe::tests::recipe;

    #[test]
    fn what_is_saved_comes_back_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CHECKPOINT);
        let architecture = backbones::tiny([3, 8, 8], 2, 1.0);
        let saved = Variables::initialise(&architecture, 1);
        let mut sgd = Sgd::new(0.9, 0.0, "none", 1.0);
        sgd.restore(BTreeMap::from([("classify.weight".to_string(), saved.get("classify.weight") * 2.0)]));
        let mut average = Average::new(0.9);
        average.add(&saved, 0);
        average.add(&Variables::initialise(&architecture, 3), 100);
        let mut history = History::default();
        history.add(16, 5, StepRecord { loss: 0.5, correct: 7, pictures: 8, learning_rate: 0.25 });
        Checkpoint::save(&path, &recipe(), 17, &history, &saved, &sgd, &average).unwrap();

        let checkpoint = Checkpoint::load(&path).unwrap();
        assert_eq!((checkpoint.step, &checkpoint.recipe), (17, &recipe()));
        assert_eq!(checkpoint.history, history);
        let mut restored = Variables::initialise(&architecture, 2);
        let mut restored_sgd = Sgd::new(0.9, 0.0, "none", 1.0);
        let mut restored_average = Average::new(0.9);
        checkpoint.restore(&mut restored, &mut restored_sgd, &mut restored_average).unwrap();
        for (name, variable) in saved.by_name() {
            assert_eq!(variable, restored.get(name), "{name}");
            assert_eq!(average.values()[name], restored_average.values()[name], "{name}");
        }
        assert_eq!(restored_sgd.velocities()["classify.weight"], sgd.velocities()["classify.weight"]);

        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 7, 100, bytes.len() - 1] {
            assert!(Checkpoint::parse(&bytes[..length]).is_err());
        }
        // One of before there was a history: under another name, it is none.
        let mut older = bytes.clone();
        let at = older.windows(9).position(|part| part == b"\"history\"").unwrap();
        older[at + 1] = b'H';
        assert_eq!(Checkpoint::parse(&older).unwrap().history, History::default());
        // Nothing but the checkpoint is left in the folder.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

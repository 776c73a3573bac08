//! Decodes every picture, once, and keeps what the checks need of it: a digest, a perceptual hash, a small
//! copy and, with a network, its features.

use super::findings::{Finding, Item, Kind};
use super::listing::{Listed, Listing};
use crate::interrupt::Interrupt;
use crate::progress;
use anchorwatch::network::metadata::{Colour, InputSpec, ResizeRule};
use anchorwatch::network::{Model, Outputs, Session};
use anchorwatch::vision::{PictureError, Preparer, Region, load_picture};
use anyhow::{Context, Result};
use image::RgbImage;
use image_hasher::{HashAlg, Hasher, HasherConfig};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Side of the copy that the hash is made of.
const HASHED_SIDE: u32 = 32;

/// Side of the copy that is kept.
const KEPT_SIDE: u32 = 16;

/// What was seen of a picture.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Width and height as stored in the file, turned upright.
    pub size: [u32; 2],
    /// Of size and pixels: the same for a copy in another lossless format.
    pub digest: [u8; 32],
    /// 64 bits that say in which of the lowest frequencies of brightness there is much (pHash: the signs of
    /// the discrete cosine transform against its median; Zauner 2010, "Implementation and Benchmarking of
    /// Perceptual Image Hash Functions").
    pub hash: u64,
    /// 16×16 pixels, RGB.
    pub copy: Vec<u8>,
    /// Features of length 1; empty without a network, or where its numbers are not finite.
    pub features: Vec<f32>,
}

/// What was seen of all.
pub struct Scan {
    /// In the order of the pictures; None for those that cannot be read.
    pub seen: Vec<Option<Seen>>,
    /// The others, with the reason.
    unreadable: Vec<(usize, String)>,
}

impl Scan {
    /// Decodes all pictures, in several threads.
    ///
    /// # Errors
    /// If the network cannot be run, or it is interrupted.
    pub fn read(
        pictures: &[Listed],
        model: Option<&Model>,
        threads: usize,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        // The pictures are divided over the threads, not the work on each.
        let model = model.map(|model| model.clone().with_threads(1));
        let bar = progress::bar(pictures.len() as u64, "looking at the pictures");
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Result<Seen, String>)>> {
            let mut eye = Eye::new(model.as_ref())?;
            let mut results = Vec::new();
            while !interrupt.requested() {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(picture) = pictures.get(at) else { break };
                let result = match load_picture(&picture.path) {
                    Ok(picture) => Ok(eye.look(&picture)?),
                    Err(why) => Err(reason(why)),
                };
                results.push((at, result));
                bar.inc(1);
            }
            Ok(results)
        };
        let results: Vec<Result<_>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        bar.finish_and_clear();
        interrupt.check()?;
        let mut scan = Self { seen: vec![None; pictures.len()], unreadable: Vec::new() };
        for result in results {
            for (at, result) in result? {
                match result {
                    Ok(seen) => scan.seen[at] = Some(seen),
                    Err(why) => scan.unreadable.push((at, why)),
                }
            }
        }
        scan.unreadable.sort_unstable();
        Ok(scan)
    }

    /// The broken files.
    pub fn findings(&self, listing: &Listing) -> Option<Finding> {
        let item = |(at, why): &(usize, String)| Item {
            note: why.clone(),
            ..Item::file(&listing.pictures[*at].path)
        };
        Finding::new(
            Kind::Unreadable,
            self.unreadable.iter().map(item).collect(),
            |count| format!("{count} picture(s) cannot be read"),
            "fit leaves them out. Copy them again from where they come from, or delete them.",
        )
    }

    /// Width and height of the smallest, the middle and the largest picture, by area.
    pub fn sizes(&self) -> Option<[[u32; 2]; 3]> {
        let mut sizes: Vec<[u32; 2]> = self.seen.iter().flatten().map(|seen| seen.size).collect();
        sizes.sort_by_key(|&[width, height]| (u64::from(width) * u64::from(height), width));
        Some([*sizes.first()?, *sizes.get((sizes.len() - 1) / 2)?, *sizes.last()?])
    }
}

/// The reason without the path, which stands before it.
fn reason(error: PictureError) -> String {
    match error {
        PictureError::File { why, .. } => why.to_string(),
        PictureError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// What one thread looks with.
struct Eye {
    hashed: Preparer,
    kept: Preparer,
    hasher: Hasher<[u8; 8]>,
    network: Option<(Preparer, Session)>,
}

impl Eye {
    fn new(model: Option<&Model>) -> Result<Self> {
        let network = model
            .map(|model| Ok::<_, anyhow::Error>((Preparer::new(&model.metadata().input), model.session()?)));
        Ok(Self {
            hashed: Preparer::new(&square(HASHED_SIDE)),
            kept: Preparer::new(&square(KEPT_SIDE)),
            hasher: HasherConfig::with_bytes_type::<[u8; 8]>()
                .hash_alg(HashAlg::Median)
                .preproc_dct()
                .to_hasher(),
            network: network.transpose()?,
        })
    }

    fn look(&mut self, picture: &RgbImage) -> Result<Seen> {
        let (width, height) = picture.dimensions();
        let whole = Region::whole(width, height);
        let mut digest = Sha256::new();
        digest.update([width, height].map(u32::to_le_bytes).concat());
        digest.update(picture.as_raw());
        let pixels = self.hashed.prepare(picture, whole)?.to_vec();
        let small =
            RgbImage::from_raw(HASHED_SIDE, HASHED_SIDE, pixels).context("a copy has the wrong size")?;
        let hash = self.hasher.hash_image(&small);
        let copy = self.kept.prepare(&small, Region::whole(HASHED_SIDE, HASHED_SIDE))?.to_vec();
        let features = match &mut self.network {
            Some((preparer, session)) => unit(session.outputs(preparer.prepare(picture, whole)?)?),
            None => Vec::new(),
        };
        let hash = hash.as_bytes().iter().fold(0, |hash, &byte| hash << 8 | u64::from(byte));
        Ok(Seen { size: [width, height], digest: digest.finalize().into(), hash, copy, features })
    }
}

fn square(side: u32) -> InputSpec {
    InputSpec {
        width: side,
        height: side,
        colour: Colour::Rgb,
        resize: ResizeRule::Stretch,
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
    }
}

/// The embedding, or the logits where there is none, with length 1.
fn unit(outputs: Outputs) -> Vec<f32> {
    let numbers = if outputs.embedding.is_empty() { outputs.logits } else { outputs.embedding };
    let length = numbers.iter().map(|&number| f64::from(number).powi(2)).sum::<f64>().sqrt();
    if !(length.is_finite() && length > 0.0) {
        return Vec::new();
    }
    numbers.iter().map(|&number| (f64::from(number) / length) as f32).collect()
}

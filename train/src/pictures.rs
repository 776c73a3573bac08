//! Pictures in memory: decoded once, by several threads, into bytes at the network's input size.

use crate::interrupt::Interrupt;
use crate::picture_folder::file_name;
use crate::progress;
use anchorwatch::network::metadata::InputSpec;
use anchorwatch::vision::{Preparer, Region, load_picture};
use anyhow::Result;
use image::{ExtendedColorType, ImageEncoder};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tch::{Kind, Tensor};

/// Pictures of one size, H×W×C bytes each, with their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pictures {
    /// Shape of each: height, width, channels.
    pub shape: [usize; 3],
    /// One picture after another.
    pub bytes: Vec<u8>,
    /// The class of each; of no meaning for unknown pictures.
    pub classes: Vec<usize>,
    /// What each is called, for people: the last two parts of its path. Empty if they are of no files.
    pub names: Vec<String>,
    /// Files that could not be read, with the reason.
    pub skipped: Vec<String>,
}

impl Pictures {
    /// Decodes files; those that cannot be used are counted and named in `skipped`.
    ///
    /// # Errors
    /// If it is interrupted.
    pub fn decode(
        files: &[(PathBuf, usize)],
        input: &InputSpec,
        threads: usize,
        what: &str,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let shape = [input.height as usize, input.width as usize, input.channels()];
        let size = shape.iter().product::<usize>();
        let mut bytes = vec![0; files.len() * size];
        let failures = Mutex::new(Vec::new());
        let bar = progress::bar(files.len() as u64, &format!("reading {what}"));
        let share = files.len().div_ceil(threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for (number, (files, bytes)) in
                files.chunks(share).zip(bytes.chunks_mut(share * size)).enumerate()
            {
                let (failures, bar) = (&failures, &bar);
                scope.spawn(move || {
                    let mut preparer = Preparer::new(input);
                    for (index, ((path, _), slot)) in files.iter().zip(bytes.chunks_mut(size)).enumerate() {
                        if interrupt.requested() {
                            return;
                        }
                        let result = load_picture(path).and_then(|picture| {
                            let region = Region::whole(picture.width(), picture.height());
                            slot.copy_from_slice(preparer.prepare(&picture, region)?);
                            Ok(())
                        });
                        if let Err(error) = result {
                            let mut failures =
                                failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                            failures.push((number * share + index, error.to_string()));
                        }
                        bar.inc(1);
                    }
                });
            }
        });
        bar.finish_and_clear();
        interrupt.check()?;
        let mut failures = failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        failures.sort();
        let mut pictures = Self {
            shape,
            bytes,
            classes: files.iter().map(|(_, class)| *class).collect(),
            names: files.iter().map(|(path, _)| name(path)).collect(),
            skipped: Vec::new(),
        };
        pictures.drop_rows(&failures.iter().map(|(index, _)| *index).collect::<Vec<_>>());
        pictures.skipped = failures.into_iter().map(|(_, reason)| reason).collect();
        Ok(pictures)
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// One picture: H×W×C bytes.
    pub fn picture(&self, index: usize) -> &[u8] {
        let size = self.shape.iter().product::<usize>();
        &self.bytes[index * size..][..size]
    }

    /// One picture as a PNG.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn png(&self, index: usize) -> Result<Vec<u8>> {
        let [height, width, channels] = self.shape;
        let colour = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes).write_image(
            self.picture(index),
            width as u32,
            height as u32,
            colour,
        )?;
        Ok(bytes)
    }

    /// These pictures as a B×C×H×W tensor of bytes, channels last in memory.
    pub fn batch(&self, indices: &[usize]) -> Tensor {
        let [height, width, channels] = self.shape.map(|side| side as i64);
        let bytes: Vec<u8> = indices.iter().flat_map(|&index| self.picture(index)).copied().collect();
        Tensor::from_data_size(&bytes, &[indices.len() as i64, height, width, channels], Kind::Uint8)
            .permute([0, 3, 1, 2])
    }

    /// The classes of these pictures, for the loss.
    pub fn targets(&self, indices: &[usize]) -> Tensor {
        Tensor::from_slice(&indices.iter().map(|&index| self.classes[index] as i64).collect::<Vec<_>>())
    }

    /// The classes of these pictures.
    pub fn classes_of(&self, indices: &[usize]) -> Vec<usize> {
        indices.iter().map(|&index| self.classes[index]).collect()
    }

    /// Pictures of each of `classes` classes.
    pub fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &class in &self.classes {
            counts[class] += 1;
        }
        counts
    }

    /// At most `most` pictures of each of `classes` classes, evenly spread over each class's list.
    pub fn sample(&self, classes: usize, most: usize) -> Vec<usize> {
        let mut chosen = Vec::new();
        for class in 0..classes {
            let of_class: Vec<usize> =
                (0..self.len()).filter(|&index| self.classes[index] == class).collect();
            let count = of_class.len().min(most);
            chosen.extend((0..count).map(|index| of_class[index * of_class.len() / count]));
        }
        chosen
    }

    /// Mean and standard deviation of each channel, on a scale of 0 to 1.
    pub fn statistics(&self) -> (Vec<f32>, Vec<f32>) {
        let channels = self.shape[2];
        let mut sums = vec![[0u64; 2]; channels];
        for pixel in self.bytes.chunks_exact(channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                sum[0] += u64::from(value);
                sum[1] += u64::from(value) * u64::from(value);
            }
        }
        let count = (self.bytes.len() / channels).max(1) as f64;
        sums.iter()
            .map(|&[sum, squares]| {
                let mean = sum as f64 / count / 255.0;
                let variance = squares as f64 / count / 65_025.0 - mean * mean;
                (mean as f32, variance.max(0.0).sqrt() as f32)
            })
            .unzip()
    }

    fn drop_rows(&mut self, rows: &[usize]) {
        if rows.is_empty() {
            return;
        }
        let size = self.shape.iter().product::<usize>();
        let (mut kept, mut next) = (0, rows.iter().peekable());
        for index in 0..self.len() {
            if next.next_if_eq(&&index).is_some() {
                continue;
            }
            self.bytes.copy_within(index * size..(index + 1) * size, kept * size);
            self.classes[kept] = self.classes[index];
            self.names.swap(kept, index);
            kept += 1;
        }
        self.bytes.truncate(kept * size);
        self.classes.truncate(kept);
        self.names.truncate(kept);
    }
}

/// The last two parts of a path: class folder and file.
fn name(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).map(Path::new).unwrap_or(Path::new(""));
    folder.join(file_name(path)).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch::network::metadata::{Colour, ResizeRule};
    use image::{Rgb, RgbImage};

    #[test]
    fn unreadable_pictures_are_skipped_counted_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<(PathBuf, usize)> = (0..7)
            .map(|index| {
                let path = folder.path().join(format!("{index}.png"));
                if index % 3 == 1 {
                    std::fs::write(&path, b"no picture").unwrap();
                } else {
                    RgbImage::from_pixel(9, 5, Rgb([index, 100, 200])).save(&path).unwrap();
                }
                (path, usize::from(index))
            })
            .collect();
        let input = InputSpec {
            width: 4,
            height: 3,
            colour: Colour::Rgb,
            resize: ResizeRule::Stretch,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        };
        for threads in [1, 2, 16] {
            let pictures = Pictures::decode(&files, &input, threads, "test", &Interrupt::never()).unwrap();
            assert_eq!(pictures.classes, [0, 2, 3, 5, 6]);
            let folder_name = file_name(folder.path());
            let names = [0, 2, 3, 5, 6].map(|index| format!("{folder_name}/{index}.png"));
            assert_eq!(pictures.names, names);
            let png = image::load_from_memory(&pictures.png(1).unwrap()).unwrap().to_rgb8();
            assert_eq!((png.dimensions(), png[(3, 2)]), ((4, 3), Rgb([2, 100, 200])));
            assert_eq!(pictures.skipped.len(), 2);
            assert!(pictures.skipped[1].contains("4.png"), "{:?}", pictures.skipped);
            for (index, class) in pictures.classes.iter().enumerate() {
                assert_eq!(pictures.picture(index)[..3], [*class as u8, 100, 200]);
            }
            let batch = pictures.batch(&[4, 0]);
            assert_eq!(batch.size(), [2, 3, 3, 4]);
            assert_eq!(batch.int64_value(&[0, 0, 2, 3]), 6);
            assert_eq!(batch.int64_value(&[1, 2, 0, 0]), 200);
            let (mean, std) = pictures.statistics();
            assert!((mean[1] - 100.0 / 255.0).abs() < 1e-6 && std[1] < 1e-3);
        }
    }

    #[test]
    fn a_sample_is_spread_over_each_class() {
        let pictures = Pictures {
            shape: [1, 1, 1],
            bytes: vec![0; 10],
            classes: vec![0, 1, 0, 0, 0, 0, 0, 1, 0, 0],
            ..Pictures::default()
        };
        assert_eq!(pictures.sample(3, 4), [0, 3, 5, 8, 1, 7]);
    }
}

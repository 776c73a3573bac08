//! Brings a region of a picture to the network's input size and colours, still as bytes.
//!
//! The resampling is that of PIL's `Image.resize(BILINEAR)`: bilinear with the support grown by the
//! reduction, so that nothing aliases. Training, calibration and runtime all go through here.

use super::{PictureError, Region};
use crate::network::metadata::{Colour, InputSpec, ResizeRule};
use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Cuts, resizes and converts; keeps its buffers from call to call.
pub struct Preparer {
    width: u32,
    height: u32,
    colour: Colour,
    rule: ResizeRule,
    resizer: Resizer,
    resized: Vec<u8>,
    grey: Vec<u8>,
    output: Vec<u8>,
}

impl Preparer {
    /// For a model's input.
    pub fn new(input: &InputSpec) -> Self {
        let size = input.channels() * input.width as usize * input.height as usize;
        Self {
            width: input.width,
            height: input.height,
            colour: input.colour,
            rule: input.resize,
            resizer: Resizer::new(),
            resized: vec![0; size],
            grey: Vec::new(),
            output: Vec::new(),
        }
    }

    /// The region as H×W×C bytes at the input's size and in its colour order.
    ///
    /// # Errors
    /// If the region is empty or not inside the picture.
    pub fn prepare(&mut self, picture: &RgbImage, region: Region) -> Result<&[u8], PictureError> {
        let (width, height) = picture.dimensions();
        if !region.is_inside(width, height) {
            return Err(PictureError::Region { region: region.to_string(), width, height });
        }
        let options = self.options(region);
        let to = [self.width, self.height];
        if self.colour == Colour::Grey {
            // Before resizing, as the grey training pictures are.
            self.grey.clear();
            self.grey
                .extend(picture.as_raw().chunks_exact(3).map(|pixel| luma([pixel[0], pixel[1], pixel[2]])));
            let from = (&self.grey[..], [width, height]);
            resize::<U8>(&mut self.resizer, from, region, (&mut self.resized, to), &options)
        } else {
            let from = (&picture.as_raw()[..], [width, height]);
            resize::<U8x3>(&mut self.resizer, from, region, (&mut self.resized, to), &options)
        }?;
        if self.colour != Colour::Bgr {
            return Ok(&self.resized);
        }
        self.output.clear();
        self.output.extend(self.resized.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        Ok(&self.output)
    }

    /// How, and which part of the region.
    fn options(&self, region: Region) -> ResizeOptions {
        let [width, height] = [region.width, region.height].map(f64::from);
        let [left, top, width, height] = match self.rule {
            ResizeRule::Stretch => [0.0, 0.0, width, height],
            ResizeRule::CentreCrop => {
                let aspect = f64::from(self.width) / f64::from(self.height);
                let crop_width = width.min(height * aspect);
                let crop_height = crop_width / aspect;
                [(width - crop_width) / 2.0, (height - crop_height) / 2.0, crop_width, crop_height]
            }
        };
        ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(left, top, width, height)
    }
}

/// Resizes a region. For the two kinds of pixels that there are here, named: the resizer for any kind
/// would bring all kinds into the program, which is megabytes.
fn resize<P: PixelTrait>(
    resizer: &mut Resizer,
    (from, [width, height]): (&[u8], [u32; 2]),
    region: Region,
    (to, [to_width, to_height]): (&mut [u8], [u32; 2]),
    options: &ResizeOptions,
) -> Result<(), PictureError> {
    let failed = |error: &dyn std::fmt::Display| PictureError::Resize(error.to_string());
    let source = TypedImageRef::<P>::from_buffer(width, height, from).map_err(|error| failed(&error))?;
    // A picture of its own: what is beside the region does not shine into its edges.
    let source = TypedCroppedImage::from_ref(&source, region.x, region.y, region.width, region.height)
        .map_err(|error| failed(&error))?;
    let mut to = TypedImage::<P>::from_buffer(to_width, to_height, to).map_err(|error| failed(&error))?;
    resizer.resize_typed(&source, &mut to, options).map_err(|error| failed(&error))
}

/// ITU-R BT.601 luma in 16-bit fixed point, as PIL's conversion to `L`.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn spec(width: u32, height: u32, colour: Colour, resize: ResizeRule) -> InputSpec {
        InputSpec { width, height, colour, resize, mean: vec![0.0; 3], std: vec![1.0; 3] }
    }

    /// The same picture as made by the script in the comments of the vectors below.
    fn pattern() -> RgbImage {
        RgbImage::from_fn(23, 17, |x, y| {
            Rgb([(x * 11) as u8, (y * 15) as u8, ((x * 37 + y * 59) % 256) as u8])
        })
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let mut preparer = Preparer::new(&spec(23, 17, Colour::Rgb, ResizeRule::Stretch));
        let picture = pattern();
        assert_eq!(preparer.prepare(&picture, Region::whole(23, 17)).unwrap(), picture.as_raw().as_slice());
        let mut bgr = Preparer::new(&spec(23, 17, Colour::Bgr, ResizeRule::Stretch));
        let swapped = bgr.prepare(&picture, Region::whole(23, 17)).unwrap();
        assert_eq!(swapped[..3], [picture.as_raw()[2], picture.as_raw()[1], picture.as_raw()[0]]);
    }

    #[test]
    fn resizing_is_pils() {
        // Image.fromarray(pattern).resize((5, 4), Image.BILINEAR), Pillow
        let expected: [u8; 60] = [
            25, 30, 128, 70, 30, 125, 121, 30, 130, 172, 30, 123, 217, 30, 127, 25, 88, 132, 70, 88, 124,
            121, 88, 130, 172, 88, 126, 217, 88, 128, 25, 152, 131, 70, 152, 124, 121, 152, 127, 172, 152,
            128, 217, 152, 129, 25, 210, 137, 70, 210, 125, 121, 210, 128, 172, 210, 125, 217, 210, 127,
        ];
        let mut preparer = Preparer::new(&spec(5, 4, Colour::Rgb, ResizeRule::Stretch));
        let resized = preparer.prepare(&pattern(), Region::whole(23, 17)).unwrap();
        for (ours, theirs) in resized.iter().zip(expected) {
            assert!(ours.abs_diff(theirs) <= 1, "{resized:?}\n{expected:?}");
        }
    }

    #[test]
    fn a_region_is_what_is_resized() {
        let picture = pattern();
        let region = Region { id: 0, x: 4, y: 3, width: 6, height: 5 };
        let mut preparer = Preparer::new(&spec(6, 5, Colour::Rgb, ResizeRule::Stretch));
        let cut = image::imageops::crop_imm(&picture, 4, 3, 6, 5).to_image();
        assert_eq!(preparer.prepare(&picture, region).unwrap(), cut.as_raw().as_slice());
        let outside = Region { id: 0, x: 20, y: 3, width: 6, height: 5 };
        assert!(preparer.prepare(&picture, outside).is_err());
    }

    #[test]
    fn what_is_beside_a_region_does_not_shine_in() {
        let mut picture = RgbImage::from_pixel(60, 20, Rgb([255; 3]));
        let region = Region { id: 0, x: 20, y: 0, width: 20, height: 20 };
        for (x, y) in (20..40).flat_map(|x| (0..20).map(move |y| (x, y))) {
            picture.put_pixel(x, y, Rgb([0; 3]));
        }
        let mut preparer = Preparer::new(&spec(4, 4, Colour::Rgb, ResizeRule::Stretch));
        assert!(preparer.prepare(&picture, region).unwrap().iter().all(|value| *value == 0));
    }

    #[test]
    fn centre_crop_keeps_the_aspect_ratio() {
        let mut preparer = Preparer::new(&spec(17, 17, Colour::Rgb, ResizeRule::CentreCrop));
        let picture = pattern();
        let cut = image::imageops::crop_imm(&picture, 3, 0, 17, 17).to_image();
        assert_eq!(preparer.prepare(&picture, Region::whole(23, 17)).unwrap(), cut.as_raw().as_slice());
    }

    #[test]
    fn grey_is_pils_luma() {
        // Image.new("RGB", (1, 1), (10, 200, 90)).convert("L").getpixel((0, 0)) == 131
        assert_eq!(luma([10, 200, 90]), 131);
        assert_eq!(luma([255, 255, 255]), 255);
        let mut preparer = Preparer::new(&spec(2, 2, Colour::Grey, ResizeRule::Stretch));
        let grey =
            preparer.prepare(&RgbImage::from_pixel(2, 2, Rgb([10, 200, 90])), Region::whole(2, 2)).unwrap();
        assert_eq!(grey, [131; 4]);
    }
}

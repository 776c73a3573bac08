//! Picture files of one colour, and odd ones.

use image::codecs::gif::GifEncoder;
use image::{Frame, ImageBuffer, Rgb, RgbImage, Rgba, RgbaImage};
use std::path::{Path, PathBuf};

pub const RED: [u8; 3] = [255, 0, 0];
pub const GREEN: [u8; 3] = [0, 255, 0];
pub const BLUE: [u8; 3] = [0, 0, 255];
/// Still red.
pub const AMBER: [u8; 3] = [255, 200, 0];
/// Unknown, most like red.
pub const DEEP_YELLOW: [u8; 3] = [255, 230, 0];
/// Unknown, as near to red as to green.
pub const YELLOW: [u8; 3] = [255, 255, 0];
/// Unknown.
pub const GREY: [u8; 3] = [128, 128, 128];

/// Saves a picture of one colour; the ending says how.
pub fn save(path: &Path, colour: [u8; 3]) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(32, 24, Rgb(colour)).save(path).unwrap();
    path.to_path_buf()
}

/// Known and unknown colours in folders of their own.
pub fn save_some(folder: &Path) {
    for (name, colour) in [
        ("known/red.png", RED),
        ("known/green.jpg", GREEN),
        ("known/blue.webp", BLUE),
        ("known/amber.bmp", AMBER),
        ("unknown/yellow.png", YELLOW),
        ("unknown/grey.tiff", GREY),
    ] {
        save(&folder.join(name), colour);
    }
}

/// Red in every form that is odd, but can be used.
pub fn save_odd(folder: &Path) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).unwrap();
    let at = |name: &str| folder.join(name);
    RgbImage::from_pixel(1, 1, Rgb(RED)).save(at("one-pixel.png")).unwrap();
    ImageBuffer::from_pixel(20, 20, Rgb([u16::MAX, 0, 0])).save(at("sixteen-bit.png")).unwrap();
    RgbaImage::from_pixel(20, 20, Rgba([255, 0, 0, 255])).save(at("alpha.png")).unwrap();
    let mut gif = GifEncoder::new(std::fs::File::create(at("animated.gif")).unwrap());
    for colour in [[255, 0, 0, 255], [128, 128, 128, 255], [0, 0, 255, 255]] {
        gif.encode_frame(Frame::new(RgbaImage::from_pixel(20, 20, Rgba(colour)))).unwrap();
    }
    drop(gif);
    jpeg_encoder::Encoder::new_file(at("cmyk.jpg"), 95)
        .unwrap()
        .encode(&[0, 255, 255, 0].repeat(20 * 20), 20, 20, jpeg_encoder::ColorType::Cmyk)
        .unwrap();
    // The contents count, not the ending.
    save(&at("red.bmp"), RED);
    std::fs::rename(at("red.bmp"), at("a-bmp.jpg")).unwrap();
    let names = ["one-pixel.png", "sixteen-bit.png", "alpha.png", "animated.gif", "cmyk.jpg", "a-bmp.jpg"];
    names.map(at).to_vec()
}

/// Files that cannot be used, each with a word of the reason.
pub fn save_unusable(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    std::fs::create_dir_all(folder).unwrap();
    let at = |name: &str| folder.join(name);
    std::fs::write(at("empty.jpg"), "").unwrap();
    std::fs::write(at("text.png"), "this is no picture").unwrap();
    RgbImage::new(20_000, 2).save(at("huge.png")).unwrap();
    for name in ["cut.png", "cut.jpg", "cut.gif"] {
        let picture = RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 4, y as u8 * 4, (x * y) as u8]));
        picture.save(at(name)).unwrap();
        let bytes = std::fs::read(at(name)).unwrap();
        std::fs::write(at(name), &bytes[..bytes.len() / 2]).unwrap();
    }
    [
        ("empty.jpg", "empty"),
        ("text.png", "none of JPEG"),
        ("huge.png", "20000×2"),
        ("cut.png", "truncated"),
        ("cut.jpg", "truncated"),
        ("cut.gif", "truncated"),
    ]
    .map(|(name, why)| (at(name), why))
    .to_vec()
}

//! Videos of one-coloured frames, written byte for byte.

use image::{Rgb, RgbImage};
use std::path::{Path, PathBuf};

const WIDTH: u32 = 32;
const HEIGHT: u32 = 24;

/// An uncompressed YUV4MPEG2 video, a frame a colour.
pub fn y4m(path: &Path, colours: &[[u8; 3]]) -> PathBuf {
    let mut bytes = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C444\n").into_bytes();
    for colour in colours {
        bytes.extend(b"FRAME\n");
        for plane in yuv(*colour) {
            bytes.extend(vec![plane; (WIDTH * HEIGHT) as usize]);
        }
    }
    std::fs::write(path, bytes).unwrap();
    path.to_path_buf()
}

/// ITU-R BT.601, limited range.
fn yuv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let [red, green, blue] = [red, green, blue].map(|channel| f64::from(channel) / 255.0);
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    let chroma = |channel: f64, range: f64| 128.0 + 224.0 * (channel - luma) / range;
    [16.0 + 219.0 * luma, chroma(blue, 1.772), chroma(red, 1.402)].map(|value| value.round() as u8)
}

/// A Motion JPEG video in AVI, a frame a colour; `None` is a damaged frame.
pub fn mjpeg(path: &Path, colours: &[Option<[u8; 3]>]) -> PathBuf {
    let mut header = b"vids".to_vec();
    header.resize(32, 0);
    header.extend((colours.len() as u32).to_le_bytes());
    header.resize(56, 0);
    let mut format = vec![0; 40];
    format[16..20].copy_from_slice(b"MJPG");
    let stream = list(b"strl", &[chunk(b"strh", &header), chunk(b"strf", &format)]);
    let headers = list(b"hdrl", &[chunk(b"avih", &[0; 56]), stream]);
    let frames: Vec<_> =
        colours.iter().map(|colour| chunk(b"00dc", &colour.map_or(vec![7; 99], jpeg))).collect();
    let movi = list(b"movi", &frames);
    std::fs::write(path, chunk(b"RIFF", &[b"AVI ".as_slice(), &headers, &movi].concat())).unwrap();
    path.to_path_buf()
}

fn jpeg(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = RgbImage::from_pixel(WIDTH, HEIGHT, Rgb(colour));
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&picture).unwrap();
    bytes
}

fn chunk(id: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = [id.as_slice(), &(data.len() as u32).to_le_bytes(), data].concat();
    bytes.resize(bytes.len() + data.len() % 2, 0);
    bytes
}

fn list(kind: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"LIST", &[kind.as_slice(), &parts.concat()].concat())
}

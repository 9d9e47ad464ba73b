//! Reads a JPEG or PNG on standard input and writes a smaller PNG on standard output.
//!
//! The one argument is the longest edge of the result in pixels. Exit status: 0 done, 1 the input
//! is no readable image or the output failed, 2 the arguments make no sense.

use std::env;
use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Cursor, Read, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

/// What a file browser shows.
const DEFAULT_EDGE_PX: u32 = 128;

/// Larger than 4096 is a photo, not its thumbnail.
const EDGE_PX: RangeInclusive<u32> = 1..=4096;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("thumbnail: {failure}");
            failure.exit_code()
        }
    }
}

fn run() -> Result<(), Failure> {
    let edge = edge(&env::args_os().skip(1).collect::<Vec<_>>())?;
    let mut input = Vec::new();
    io::stdin()
        .read_to_end(&mut input)
        .map_err(Failure::Input)?;
    let thumbnail = shrink(decode(&input)?, edge);
    write(&thumbnail)
}

/// The longest edge that the arguments ask for.
fn edge(arguments: &[OsString]) -> Result<u32, Failure> {
    match arguments {
        [] => Ok(DEFAULT_EDGE_PX),
        [edge] => edge
            .to_str()
            .and_then(|text| text.parse().ok())
            .filter(|edge| EDGE_PX.contains(edge))
            .ok_or_else(|| Failure::Edge(edge.clone())),
        more => Err(Failure::Arguments(more.len())),
    }
}

/// Turns the bytes into pixels, upright.
fn decode(input: &[u8]) -> Result<DynamicImage, Failure> {
    if input.is_empty() {
        return Err(Failure::Empty);
    }
    let reader = ImageReader::new(Cursor::new(input))
        .with_guessed_format()
        .map_err(Failure::Input)?;
    let mut decoder = reader.into_decoder().map_err(Failure::Image)?;
    // A camera held sideways stores the pixels as they came and says so in the metadata, which
    // the PNG does not carry on.
    let orientation = decoder.orientation().map_err(Failure::Image)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(Failure::Image)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Keeps the aspect ratio. An image that fits already stays as it is: enlarging adds nothing.
fn shrink(image: DynamicImage, edge: u32) -> DynamicImage {
    if image.width().max(image.height()) <= edge {
        return image;
    }
    image.thumbnail(edge, edge)
}

fn write(image: &DynamicImage) -> Result<(), Failure> {
    let mut png = Cursor::new(Vec::new());
    image
        .write_to(&mut png, ImageFormat::Png)
        .map_err(Failure::Encode)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(png.get_ref()).map_err(Failure::Output)?;
    stdout.flush().map_err(Failure::Output)
}

/// Why there is no thumbnail.
enum Failure {
    Arguments(usize),
    Edge(OsString),
    Empty,
    Input(io::Error),
    Image(ImageError),
    Encode(ImageError),
    Output(io::Error),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Arguments(_) | Self::Edge(_) => ExitCode::from(2),
            Self::Empty | Self::Input(_) | Self::Image(_) | Self::Encode(_) | Self::Output(_) => {
                ExitCode::from(1)
            }
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (least, most) = (EDGE_PX.start(), EDGE_PX.end());
        match self {
            Self::Arguments(count) => write!(
                f,
                "expected at most one argument but got {count}; give only the longest edge in \
                 pixels, from {least} to {most}"
            ),
            Self::Edge(edge) => write!(
                f,
                "'{}' is no edge length; give a whole number of pixels from {least} to {most}, \
                 or nothing for {DEFAULT_EDGE_PX}",
                edge.to_string_lossy()
            ),
            Self::Empty => f.write_str("standard input is empty; send it a JPEG or PNG"),
            Self::Input(error) => write!(f, "cannot read standard input: {error}"),
            Self::Image(error) => {
                write!(f, "standard input is no readable JPEG or PNG: {error}")
            }
            Self::Encode(error) => write!(f, "cannot encode the thumbnail as PNG: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

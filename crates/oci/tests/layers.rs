//! Archives that unpack to a module, and archives that nobody should unpack.
#![cfg(test)]

use std::io::{BufReader, Read as _, Write as _};

use propeller_oci::layer::{Finding, LayerError, Scratch, UnpackLimits, Unpacked};
use propeller_oci::sha256;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

const LIMITS: UnpackLimits = UnpackLimits {
    unpacked_bytes: 1 << 20,
    module_bytes: 1 << 16,
    entries: 100,
};

/// An archive, entry by entry.
struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(name, tar::EntryType::Regular, bytes)
    }

    /// Written by hand, because the library refuses what these tests are about.
    fn entry(mut self, name: &str, kind: tar::EntryType, bytes: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.append(&header, bytes).expect("memory takes it");
        self
    }

    fn done(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes it")
    }
}

/// What comes out of layers that are unpacked in memory, and as well when they are read twice.
fn unpacked(program: Option<&str>, layers: &[Vec<u8>]) -> String {
    let said = |out: Result<Vec<u8>, LayerError>| match out {
        Ok(module) => String::from_utf8_lossy(&module).into_owned(),
        Err(error) => format!("error: {error}"),
    };
    let at_once = said(in_memory(program, LIMITS, layers));
    assert_eq!(at_once, said(read_twice(program, LIMITS, layers)));
    at_once
}

fn in_memory(
    program: Option<&str>,
    limits: UnpackLimits,
    layers: &[Vec<u8>],
) -> Result<Vec<u8>, LayerError> {
    let mut files = Unpacked::new(program, limits);
    for layer in layers {
        files.add(layer.as_slice())?;
    }
    let found = files.module()?;
    Ok(found.module.to_vec())
}

/// In pieces of a few bytes, so that nothing begins or ends where one of them does.
fn read_twice(
    program: Option<&str>,
    limits: UnpackLimits,
    layers: &[Vec<u8>],
) -> Result<Vec<u8>, LayerError> {
    let pieces = |layer| BufReader::with_capacity(3, layer);
    let mut scratch = Scratch::default();
    let mut files = Finding::new(program, limits);
    for layer in layers {
        files.add(pieces(layer.as_slice()), &mut scratch)?;
    }
    let spot = files.module()?;
    let layer = pieces(&layers[spot.layer - 1]);
    let mut module = Vec::new();
    let mut reading = spot.read(layer, &mut scratch).expect("it is what it was");
    reading.read_to_end(&mut module).expect("it is what it was");
    assert_eq!(
        (spot.len, spot.digest),
        (module.len() as u64, sha256(&module))
    );
    assert!(module.starts_with(&spot.start[..module.len().min(4)]));
    Ok(module)
}

/// Why nothing comes out of a layer, in either way.
fn refused(limits: UnpackLimits, layer: Vec<u8>) -> String {
    let layers = [layer];
    let at_once = in_memory(None, limits, &layers).expect_err("it is refused");
    let twice = read_twice(None, limits, &layers).expect_err("it is refused");
    assert_eq!(at_once.to_string(), twice.to_string());
    at_once.to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).expect("memory takes it");
    gzip.finish().expect("memory takes it")
}

#[test]
fn the_entry_point_is_the_module_or_else_the_only_one() {
    let one = Tar::new()
        .file("./app.wasm", b"app")
        .file("readme", b"text")
        .done();
    let two = Tar::new()
        .file("app.wasm", b"app")
        .file("bin/tool", b"tool")
        .file("b.wasm", b"b");
    let two = two.done();
    assert_eq!(unpacked(None, std::slice::from_ref(&one)), "app");
    assert_eq!(unpacked(Some("nowhere"), &[one]), "app");
    assert_eq!(
        unpacked(Some("bin/tool"), std::slice::from_ref(&two)),
        "tool"
    );
    assert_eq!(
        unpacked(None, &[two]),
        "error: media type: the layers have 2 modules, such as app.wasm, b.wasm: name one of them as the \
         image's entry point"
    );
    let none = Tar::new().file("readme", b"text").done();
    assert!(unpacked(None, &[none]).contains("no module"));
}

#[test]
fn every_compression_unpacks_to_the_same_whatever_its_media_type_says() {
    let plain = Tar::new().file("app.wasm", MODULE).done();
    let zstd = zstd::encode_all(&plain[..], 3).expect("memory takes it");
    for layer in [plain.clone(), gzip(&plain), zstd] {
        let mut files = Unpacked::new(None, LIMITS);
        let diff_id = files.add(layer.as_slice()).expect("it unpacks");
        assert_eq!(diff_id, sha256(&plain));
        let found = Finding::new(None, LIMITS).add(&*layer, &mut Scratch::default());
        assert_eq!(found.expect("it unpacks"), sha256(&plain));
        let layers = [layer];
        for way in [in_memory, read_twice] {
            let module = way(None, LIMITS, &layers).expect("it is there");
            assert_eq!(module, MODULE);
        }
    }
}

#[test]
fn upper_layers_replace_and_take_away_what_is_below() {
    let below = Tar::new()
        .file("bin/app.wasm", b"old")
        .file("lib/x.wasm", b"x")
        .done();
    let replaced = Tar::new()
        .file("bin/app.wasm", b"new")
        .file("lib/.wh.x.wasm", b"")
        .done();
    assert_eq!(unpacked(None, &[below.clone(), replaced]), "new");
    let folder = Tar::new().file(".wh.lib", b"").done();
    assert_eq!(unpacked(None, &[below.clone(), folder]), "old");
    let opaque = Tar::new()
        .file(".wh..wh..opq", b"")
        .file("b.wasm", b"b")
        .done();
    assert_eq!(unpacked(None, &[below, opaque]), "b");
}

#[test]
fn a_whiteout_is_about_lower_layers_alone() {
    let below = Tar::new().file("old.wasm", b"old").done();
    for name in [".wh..wh..opq", ".wh.app.wasm"] {
        let above = Tar::new().file("app.wasm", b"new").file(name, b"").done();
        let gone = Tar::new().file(".wh.old.wasm", b"").done();
        assert_eq!(
            unpacked(Some("app.wasm"), &[below.clone(), above.clone()]),
            "new"
        );
        assert_eq!(unpacked(None, &[below.clone(), gone, above]), "new");
    }
    // A folder that becomes a file takes what was in it along.
    let folder = Tar::new().file("a/app.wasm", b"old").done();
    let file = Tar::new().file("a", b"").file("b.wasm", b"b").done();
    assert_eq!(unpacked(None, &[folder, file]), "b");
}

#[test]
fn an_entry_point_that_is_gone_is_not_guessed() {
    let other = Tar::new().file("other.wasm", b"other").done();
    assert_eq!(
        unpacked(Some("/./good.wasm"), std::slice::from_ref(&other)),
        "error: media type: the layers have no `good.wasm`, which the image's entry point names"
    );
    assert_eq!(unpacked(Some("//other.wasm"), &[other]), "other");
}

#[test]
fn what_is_replaced_takes_no_room() {
    let large = Tar::new().file("app.wasm", &[0; 40_000]).done();
    let module = Tar::new().file("app.wasm", MODULE).done();
    let said = unpacked(None, &[large.clone(), large, module]);
    assert_eq!(said.as_bytes(), MODULE);
}

#[test]
fn long_names_are_read_in_both_ways_of_writing_them() {
    let name = format!("{}/app.wasm", "a".repeat(150));
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    gnu.append_data(&mut header, &name, &b"gnu"[..])
        .expect("memory takes it");
    assert_eq!(
        unpacked(Some(&name), &[gnu.into_inner().expect("it is whole")]),
        "gnu"
    );
    let path = format!(" path={name}\n");
    let length = path.len() + 3;
    let pax = Tar::new()
        .entry(
            "x",
            tar::EntryType::XHeader,
            format!("{length}{path}").as_bytes(),
        )
        .file("short", b"pax");
    assert_eq!(unpacked(Some(&name), &[pax.done()]), "pax");
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../app.wasm", "a/../../app.wasm", "/../app.wasm", "a/.."] {
        let layer = Tar::new().file(name, MODULE).done();
        let said = unpacked(None, &[layer]);
        assert_eq!(
            said,
            format!("error: media type: `{name}` in layer 1 leads out of the archive")
        );
    }
    let path = b"21 path=../../x.wasm\n";
    let pax = Tar::new()
        .entry("x", tar::EntryType::XHeader, path)
        .file("y.wasm", MODULE);
    assert!(unpacked(None, &[pax.done()]).contains("leads out of the archive"));
}

#[test]
fn a_module_that_is_there_twice_or_is_no_file_is_refused() {
    let twice = Tar::new()
        .file("app.wasm", b"a")
        .file("./app.wasm", b"b")
        .done();
    let said = unpacked(None, &[twice]);
    assert_eq!(
        said,
        "error: media type: `app.wasm` in layer 1 is there twice, so that nobody can say which one is meant"
    );
    for (kind, what) in [
        (tar::EntryType::Symlink, "a link"),
        (tar::EntryType::Link, "a link"),
        (tar::EntryType::Fifo, "a device or a pipe"),
    ] {
        let layer = Tar::new().entry("app.wasm", kind, b"").done();
        let said = unpacked(None, &[layer]);
        let why = format!(
            "error: media type: `app.wasm` in layer 1 is {what}, not a file: put the module itself there"
        );
        assert_eq!(said, why);
    }
}

#[test]
fn bombs_are_small_where_they_unpack() {
    let zeros = vec![0; 2 << 20];
    let too_large = "error: size: the layers unpack to more than 1048576 bytes";
    let bomb = Tar::new().file("bomb.wasm", &zeros).done();
    let other = Tar::new().file("readme", &zeros).done();
    let zstd = zstd::encode_all(&other[..], 19).expect("memory takes it");
    assert_eq!(unpacked(None, &[gzip(&other)]), too_large);
    assert_eq!(unpacked(None, &[zstd]), too_large);
    assert_eq!(
        unpacked(None, &[gzip(&bomb)]),
        "error: size: the modules in the layers have more than 65536 bytes"
    );
    // Together, too, and behind the end of the archive.
    let half = Tar::new().file("readme", &zeros[..600_000]).done();
    assert_eq!(unpacked(None, &[half.clone(), half.clone()]), too_large);
    let behind = [half, vec![0; 1 << 20]].concat();
    assert_eq!(unpacked(None, &[gzip(&behind)]), too_large);
    let many = (0..101).fold(Tar::new(), |tar, index| tar.file(&format!("f{index}"), b""));
    assert_eq!(
        unpacked(None, &[many.done()]),
        "error: size: the layers have more than 100 entries"
    );
    let many = (0..1001).fold(Tar::new(), |tar, index| {
        tar.file(&format!("{index}.wasm"), b"")
    });
    let limits = UnpackLimits {
        entries: 2000,
        ..LIMITS
    };
    let said = refused(limits, many.done());
    assert!(
        said.contains("more than 1000 files that could be the module"),
        "{said}"
    );
}

#[test]
fn a_name_of_a_megabyte_is_no_name_and_one_of_five_kilobytes_neither() {
    let name = vec![b'a'; (1 << 20) + 1];
    let limits = UnpackLimits {
        unpacked_bytes: 8 << 20,
        ..LIMITS
    };
    for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
        let layer = Tar::new()
            .entry("x", kind, &name)
            .file("y.wasm", MODULE)
            .done();
        assert_eq!(
            refused(limits, layer),
            "media type: layer 1 is no tar archive, or a damaged one"
        );
    }
}

#[test]
fn what_is_damaged_or_no_archive_is_told() {
    let good = Tar::new().file("app.wasm", MODULE).done();
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    let gzip = gzip(&good);
    let mut wrong_sum = gzip.clone();
    let last = wrong_sum.len() - 8;
    wrong_sum[last] ^= 1;
    for layer in [
        flipped,
        good[..700].to_vec(),
        gzip[..gzip.len() / 2].to_vec(),
        wrong_sum,
        b"\x1f\x8bnonsense".to_vec(),
        b"\x28\xb5\x2f\xfdnonsense".to_vec(),
        vec![b'x'; 2000],
    ] {
        let said = unpacked(None, &[layer]);
        assert_eq!(
            said,
            "error: media type: layer 1 is no tar archive, or a damaged one"
        );
    }
    assert!(unpacked(None, &[Vec::new()]).contains("no module"));
}

#[test]
fn an_entry_point_longer_than_any_name_is_there_for_nobody() {
    let other = Tar::new().file("other.wasm", b"other").done();
    let long = "a".repeat(5000);
    assert_eq!(unpacked(Some(&long), std::slice::from_ref(&other)), "other");
    let said = unpacked(Some(&format!("{long}.wasm")), &[other]);
    assert!(
        said.contains("which the image's entry point names"),
        "{said}"
    );
    assert!(said.len() < 500, "{said}");
}

#[test]
fn a_layer_that_is_another_one_the_second_time_gives_no_whole_module() {
    let layer = |module: &[u8]| gzip(&Tar::new().file("app.wasm", module).done());
    let mut files = Finding::new(None, LIMITS);
    files
        .add(&*layer(b"\0asm, as it was"), &mut Scratch::default())
        .expect("it unpacks");
    let spot = files.module().expect("it is there");
    for second in [
        layer(b"\0asm, as it is!"),
        layer(b"\0asm")[..20].to_vec(),
        Vec::new(),
    ] {
        let mut module = Vec::new();
        let mut scratch = Scratch::default();
        let read = spot.read(&*second, &mut scratch);
        let read = read.and_then(|mut read| read.read_to_end(&mut module));
        read.expect_err("it is another one");
        assert_eq!(module, b"");
    }
}

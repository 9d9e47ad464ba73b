//! What people use today, with the same file, on one core: Debian's restic and borg, which deduplicate
//! and write no parity.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use propeller_ces::{Audit, Key, KeyRing, Object, Options, Threads, Wanted, encode};

use crate::inputs::Kind;
use crate::{Failure, silently};

/// Length of the file, in bytes.
const LEN: u64 = 512 << 20;

/// Flags of the processes that encode and read a file for us.
pub(crate) const ENCODE: &str = "--encode";
pub(crate) const READ: &str = "--read";

/// Runs everybody on one core, in memory.
pub(crate) fn tell() -> Result<(), Failure> {
    println!("\n### A file of 512 MiB in memory (tmpfs), one core, whole processes\n");
    println!(
        "| who | text: in, MB/s | stored / length | out, MB/s | incompressible: in | stored / length | out |"
    );
    println!("|---|---|---|---|---|---|---|");
    let folder = Path::new("/dev/shm/propeller-bench-ces");
    let told = (|| {
        for (name, steps) in peers()? {
            let mut cells = vec![name];
            for kind in Kind::ALL {
                fs::create_dir_all(folder)?;
                let path = folder.join("file");
                fs::write(&path, kind.without_repeating(LEN as usize))?;
                cells.extend(measured(folder, &steps)?);
                fs::remove_dir_all(folder)?;
            }
            println!("| {} |", cells.join(" | "));
        }
        Ok(())
    })();
    // Nothing stays in memory, whatever went wrong.
    let _gone = fs::remove_dir_all(folder);
    told
}

/// Shell commands that get ready, take the file in, and give it back; `-` where a program is missing.
type Steps = [String; 3];

fn peers() -> Result<Vec<(String, Steps)>, Failure> {
    let us = std::env::current_exe()?;
    let us = us.display();
    let borg = |encryption: &str| {
        [
            format!("borg init -e {encryption} store"),
            "borg create -C zstd,3 store::a file".to_owned(),
            "borg extract --stdout store::a > out".to_owned(),
        ]
    };
    let restic = [
        "restic -q -r store init".to_owned(),
        "restic -q -r store backup file".to_owned(),
        "restic -q -r store dump latest /file > out".to_owned(),
    ];
    Ok(vec![
        (
            "CES 8 + 4, XChaCha20-Poly1305".to_owned(),
            [
                "mkdir store".to_owned(),
                format!("{us} {ENCODE}"),
                format!("{us} {READ} > out"),
            ],
        ),
        ("restic".to_owned(), restic),
        (
            "borg, repokey-blake2, zstd 3".to_owned(),
            borg("repokey-blake2"),
        ),
        ("borg, repokey, zstd 3".to_owned(), borg("repokey")),
    ])
}

fn measured(folder: &Path, [ready, take, give]: &Steps) -> Result<Vec<String>, Failure> {
    if !run(folder, ready)? {
        return Ok(vec!["not here".to_owned(), String::new(), String::new()]);
    }
    let rate = |step: &str| {
        let begun = Instant::now();
        match run(folder, step)? {
            true => Ok::<_, Failure>(LEN as f64 / begun.elapsed().as_secs_f64() / 1e6),
            false => Err(format!("`{step}` failed").into()),
        }
    };
    let taken = rate(take)?;
    let stored = size(&folder.join("store"))? as f64 / LEN as f64;
    let given = rate(give)?;
    if fs::metadata(folder.join("out"))?.len() != LEN {
        return Err(format!("`{give}` gave back something else").into());
    }
    Ok(vec![
        format!("{taken:.0}"),
        format!("{stored:.2}"),
        format!("{given:.0}"),
    ])
}

fn run(folder: &Path, step: &str) -> Result<bool, Failure> {
    let mut command = Command::new("taskset");
    command
        .args(["-c", "0", "sh", "-c", step])
        .current_dir(folder);
    for (name, value) in [
        ("RESTIC_PASSWORD", "bench"),
        ("BORG_PASSPHRASE", "bench"),
        ("HOME", &folder.display().to_string()),
        ("XDG_CACHE_HOME", "/dev/shm/propeller-bench-ces/cache"),
    ] {
        command.env(name, value);
    }
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status?.success())
}

fn size(path: &Path) -> io::Result<u64> {
    let mut all = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        all += match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(all)
}

/// The file in the working directory into shards beside it.
pub(crate) fn encode_file() -> Result<(), Failure> {
    let key = Key::from_bytes([9; 32]);
    let shards = (0..12)
        .map(|index| File::create(format!("store/{index}")))
        .collect::<Result<Vec<_>, _>>()?;
    let file = File::open("file")?;
    encode(file, shards, &key, &Options::new(), silently(&mut |_| ()))?;
    Ok(())
}

/// The shards to standard output.
pub(crate) fn read_file() -> Result<(), Failure> {
    let ring = KeyRing::new(Key::from_bytes([9; 32]));
    let shards = (0..12)
        .map(|index| File::open(format!("store/{index}")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut object = Object::open(shards, &ring, Wanted::default(), Audit::none())?;
    object.read_to(&mut io::stdout().lock(), Threads::ONE, &mut |_| ())?;
    Ok(())
}

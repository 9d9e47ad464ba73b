//! The directory that a guest is granted, and what is beside it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use propeller_model::Access;
use propeller_sandbox::OpenDirectory;

/// Where the guests find the directory.
const GUEST: &str = "/data";

/// When everything was changed last, before a guest runs; `$changed` in `prelude.wat`.
const CHANGED: Duration = Duration::from_secs(1_000_000_000);

/// What is beside the directory, and stays as it is.
pub(super) const OUTSIDE: &str = "secret = secret";

/// `granted`, and `outside` beside it, in a folder of their own that goes with this.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("propeller-granted-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        folder.fill().expect("a folder can be filled");
        folder
    }

    fn fill(&self) -> std::io::Result<()> {
        let (granted, outside) = (self.0.join("granted"), self.0.join("outside"));
        for made in [&granted.join("folder"), &granted.join("empty"), &outside] {
            fs::create_dir_all(made)?;
        }
        fs::write(granted.join("file"), "0123456789")?;
        fs::write(granted.join("folder/inner"), "inner")?;
        fs::write(outside.join("secret"), "secret")?;
        let links: [(&Path, _); 10] = [
            (Path::new("file"), "to-file"),
            (Path::new("folder"), "to-folder"),
            (Path::new("nothing"), "to-nothing"),
            (Path::new("to-itself"), "to-itself"),
            (Path::new("../file"), "folder/up"),
            (Path::new("../outside/secret"), "out"),
            (Path::new("../outside"), "out-folder"),
            (Path::new("../outside/new"), "out-new"),
            (&outside.join("secret"), "absolute"),
            (&outside, "absolute-folder"),
        ];
        for (to, name) in links {
            symlink(to, granted.join(name))?;
        }
        for dated in ["file", "folder/inner", "folder", "empty", ""] {
            File::open(granted.join(dated))?.set_modified(UNIX_EPOCH + CHANGED)?;
        }
        Ok(())
    }

    /// What a guest is given of it.
    pub(super) fn opened(&self, access: Access) -> OpenDirectory {
        OpenDirectory {
            path: self.0.join("granted"),
            kept: None,
            guest: GUEST.to_owned(),
            access,
        }
    }

    pub(super) fn inside(&self) -> Content {
        Content::of(&self.0.join("granted"))
    }

    /// What is outside, in a line.
    pub(super) fn outside(&self) -> String {
        let content = Content::of(&self.0.join("outside"));
        Vec::from_iter(content.entries).join(", ")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What a directory has below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// `directory/`, `file = content` and `link -> path`.
    entries: BTreeSet<String>,
    /// When each of them was changed last, in nanoseconds.
    changed: Vec<(PathBuf, Duration)>,
}

impl Content {
    fn of(directory: &Path) -> Self {
        let mut content = Self {
            entries: BTreeSet::new(),
            changed: Vec::new(),
        };
        content.add(directory, directory);
        content.changed.sort();
        content
    }

    /// Adds what is below `at`, by its path from `top` on.
    fn add(&mut self, top: &Path, at: &Path) {
        let metadata = fs::symlink_metadata(at).expect("it is there");
        let changed = metadata.modified().expect("files have times");
        let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = at.strip_prefix(top).expect("it is below");
        self.changed.push((name.to_owned(), changed));
        let name = name.display();
        if metadata.is_dir() {
            if at != top {
                self.entries.insert(format!("{name}/"));
            }
            for entry in fs::read_dir(at).expect("it can be listed") {
                self.add(top, &entry.expect("it can be listed").path());
            }
        } else if metadata.is_symlink() {
            let to = fs::read_link(at).expect("a link leads somewhere");
            self.entries.insert(format!("{name} -> {}", to.display()));
        } else {
            let bytes = fs::read(at).expect("it can be read");
            self.entries
                .insert(format!("{name} = {}", bytes.escape_ascii()));
        }
    }

    /// What is in `other` and not here, behind `+`, and the other way round, behind `-`.
    pub(super) fn changes_to(&self, other: &Self) -> String {
        let gone = self.entries.difference(&other.entries);
        let come = other.entries.difference(&self.entries);
        let gone = gone.map(|entry| format!("- {entry}"));
        let come = come.map(|entry| format!("+ {entry}"));
        Vec::from_iter(gone.chain(come)).join(", ")
    }
}

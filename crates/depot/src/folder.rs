//! A depot in a folder. Everything here blocks.
//!
//! Whoever can write to the folder can put a pipe or a link under any name in it: an object is
//! opened first, without following or waiting, and judged then.

mod staged;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use uuid::Uuid;

use crate::bounds::FOLDER_TRIES;
use crate::error::OpenError;
use crate::mark::MARK_NAME;
use crate::name::{Name, Part, task_id};
use crate::tally::{Tasks, Unread, age};
use staged::is_staged;

pub(crate) use staged::Staged;

/// A folder that is there.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let root = folder.to_owned();
        match fs::metadata(folder) {
            Ok(meta) if meta.is_dir() => Ok(Self { root }),
            Ok(_) => Err(OpenError::NotAFolder { folder: root }),
            Err(source) => Err(OpenError::Folder {
                folder: root,
                source,
            }),
        }
    }

    /// Begins to write an object, in the folder of its task.
    pub(crate) fn begin(&self, name: Name) -> io::Result<Staged> {
        // Before gigabytes are written where nobody looks.
        self.is_marked()?;
        let folder = self.task(name.task);
        let file = name.part.to_string();
        for _ in 0..FOLDER_TRIES {
            let is_made = make(&folder)?;
            match Staged::new(&folder, &file) {
                // Somebody who removed the last object in it has removed the folder as well.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                begun => {
                    if is_made {
                        // Its name has to survive a power failure as well.
                        File::open(&self.root)?.sync_all()?;
                    }
                    return begun;
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Gives an object its name.
    pub(crate) fn name(&self, staged: Staged) -> io::Result<()> {
        self.is_marked()?;
        staged.name()
    }

    /// Fails if the mark is not there: the folder that somebody mounts something upon is there as
    /// well while nothing is, and swallows objects that are missing later.
    fn is_marked(&self) -> io::Result<()> {
        match fs::symlink_metadata(self.root.join(MARK_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = "the folder has no mark any more, the file propeller-depot: is something \
                           unmounted?";
                Err(io::Error::other(why))
            }
            mark => mark.map(|_| ()),
        }
    }

    /// Begins to write what is beside the folders of tasks.
    pub(crate) fn begin_beside(&self, file: &str) -> io::Result<Staged> {
        Staged::new(&self.root, file)
    }

    /// Opens an object. Only a folder with its mark can say that there is none.
    pub(crate) fn read_object(&self, file: &str) -> io::Result<File> {
        match self.read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.is_marked()?;
                Err(error)
            }
            opened => opened,
        }
    }

    /// Opens an object or what is beside the folders of tasks.
    pub(crate) fn read(&self, file: &str) -> io::Result<File> {
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(self.root.join(file))?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(not_ours()),
        }
    }

    /// Removes what is beside the folders of tasks.
    pub(crate) fn remove_beside(&self, file: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(file))
    }

    /// Removes an object, if it is there, and the folder of its task with the last one.
    pub(crate) fn remove(&self, name: Name) -> io::Result<()> {
        let folder = self.task(name.task);
        found(fs::remove_file(folder.join(name.part.to_string())))?;
        remove_empty(&folder)
    }

    /// Removes all objects of a task, and what somebody began to write or left behind.
    pub(crate) fn remove_task(&self, task: Uuid) -> io::Result<usize> {
        let folder = self.task(task);
        if !is_folder(&folder)? {
            return Ok(0);
        }
        let mut removed = 0;
        each_of_ours(&folder, |path, _| {
            removed += usize::from(found(fs::remove_file(path))?);
            Ok(())
        })?;
        remove_empty(&folder)?;
        Ok(removed)
    }

    /// Removes what was begun for a task and not written to since, and the folder with the last file.
    pub(crate) fn remove_unfinished(
        &self,
        task: Uuid,
        older_than: SystemTime,
    ) -> io::Result<usize> {
        let folder = self.task(task);
        if !is_folder(&folder)? {
            return Ok(0);
        }
        let mut removed = 0;
        each_of_ours(&folder, |path, entry| {
            let is_whole = entry
                .file_name()
                .to_str()
                .is_none_or(|name| !is_staged(name));
            if !is_whole && modified(entry)?.is_some_and(|modified| modified < older_than) {
                removed += usize::from(found(fs::remove_file(path))?);
            }
            Ok(())
        })?;
        remove_empty(&folder)?;
        Ok(removed)
    }

    /// Looks at `limit` tasks behind `after`, and at one in any case.
    pub(crate) fn tasks(
        &self,
        older_than: SystemTime,
        after: Option<Uuid>,
        limit: usize,
    ) -> io::Result<Tasks> {
        let (first, is_all) = self.first(after, limit.max(1))?;
        let next = first.last().copied().filter(|_| !is_all);
        let mut tasks = Tasks {
            next,
            ..Tasks::default()
        };
        for task in first {
            let found = match look(&self.task(task), older_than) {
                Ok(found) => found,
                // One folder that is broken keeps nobody from looking at the others.
                Err(error) => {
                    let why = error.to_string();
                    tasks.unread.push(Unread { task, why });
                    continue;
                }
            };
            if found.newest.is_some_and(|newest| newest < older_than) {
                tasks.old.push(task);
            }
            if found.has_unfinished {
                tasks.unfinished.push(task);
            }
            for part in found.aged {
                age(&mut tasks.aged, task, part);
            }
        }
        Ok(tasks)
    }

    /// The first folders of tasks behind `after`, and whether they are all there are.
    fn first(&self, after: Option<Uuid>, limit: usize) -> io::Result<(BTreeSet<Uuid>, bool)> {
        let (mut first, mut is_all) = (BTreeSet::new(), true);
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let task = name.to_str().and_then(task_id);
            let Some(task) = task.filter(|task| after.is_none_or(|after| *task > after)) else {
                continue;
            };
            // What cannot be looked at is judged with its task.
            if entry.file_type().map_or(true, |kind| kind.is_dir()) {
                first.insert(task);
            }
            if first.len() > limit {
                first.pop_last();
                is_all = false;
            }
        }
        Ok((first, is_all))
    }

    fn task(&self, task: Uuid) -> PathBuf {
        self.root.join(task.hyphenated().to_string())
    }
}

/// Makes the folder of a task, unless it is there. Says whether it has been made.
fn make(folder: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => match fs::symlink_metadata(folder) {
            Ok(meta) if !meta.is_dir() => Err(not_ours()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(false),
        },
    }
}

/// Whether there is a folder of that name, and not a link to one.
fn is_folder(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Goes through what depots write into the folder of a task. Says how much there is of others.
fn each_of_ours(
    folder: &Path,
    mut act: impl FnMut(&Path, &fs::DirEntry) -> io::Result<()>,
) -> io::Result<usize> {
    let mut others = 0;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = |name: &str| name.parse::<Part>().is_ok() || is_staged(name);
        match name.to_str().is_some_and(is_ours) && !entry.file_type()?.is_dir() {
            true => act(&entry.path(), &entry)?,
            false => others += 1,
        }
    }
    Ok(others)
}

/// What there is of a task.
#[derive(Debug, Default)]
struct Found {
    /// When something was last written: nothing, if all that is in its folder is of others.
    newest: Option<SystemTime>,
    /// The objects that are old.
    aged: Vec<Part>,
    /// Whether there is something old that is not whole.
    has_unfinished: bool,
}

fn look(folder: &Path, older_than: SystemTime) -> io::Result<Found> {
    let mut found = Found::default();
    let others = each_of_ours(folder, |_, entry| {
        let Some(modified) = modified(entry)? else {
            return Ok(());
        };
        found.newest = found.newest.max(Some(modified));
        if modified < older_than {
            let name = entry.file_name();
            let part: Option<Part> = name.to_str().and_then(|name| name.parse().ok());
            found.has_unfinished |= part.is_none();
            found.aged.extend(part);
        }
        Ok(())
    })?;
    if found.newest.is_none() && others == 0 {
        // Somebody was killed between making the folder and writing into it.
        found.newest = match fs::symlink_metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            meta => Some(meta?.modified()?),
        };
    }
    Ok(found)
}

/// When a file was last written to, unless it was removed meanwhile.
fn modified(entry: &fs::DirEntry) -> io::Result<Option<SystemTime>> {
    match entry.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        meta => Ok(Some(meta?.modified()?)),
    }
}

/// Removes the folder of a task, unless something is in it.
fn remove_empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Whether there was something to remove.
fn found(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_ours() -> io::Error {
    let why = "a link, a pipe or something else that no depot makes has this name";
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

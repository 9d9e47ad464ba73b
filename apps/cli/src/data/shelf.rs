//! The shards of an object, in all the places where they are looked for.

use super::Work;
use super::bridge::Interrupt;
use super::failure::{Failure, chain};
use super::name::{Name, Numbered};
use super::place::{FILES_MAX, Place, advice};
use super::source::Source;

/// The files that are shards of an object by their names, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) places: Vec<Place>,
    pub(crate) files: Vec<ShardFile>,
    /// Places that cannot be looked into, and why: what is in them is missing.
    pub(crate) dark: Vec<usize>,
    interrupt: Interrupt,
}

/// A file that is a shard by its name.
#[derive(Debug, Clone)]
pub(crate) struct ShardFile {
    /// Which of the places it is in.
    pub(crate) place: usize,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) number: Numbered,
}

impl Shelf {
    /// Looks for shards. A place that cannot be looked into is told, and counts as lost.
    pub(crate) fn find(
        places: Vec<Place>,
        name: &Name,
        work: &mut Work<'_, '_>,
    ) -> Result<Self, Failure> {
        let numbered = |file: &str| name.index_of(file);
        Self::find_by(places, name, &name.stem(), &numbered, work)
    }

    /// Looks for shards of the older implementation, of which there are as many as is said.
    pub(crate) fn find_old(
        places: Vec<Place>,
        name: &Name,
        count: u16,
        work: &mut Work<'_, '_>,
    ) -> Result<Self, Failure> {
        let numbered = |file: &str| {
            let index = name.old_index_of(file).filter(|index| *index < count)?;
            Some(Numbered { index, count })
        };
        Self::find_by(places, name, &name.to_string(), &numbered, work)
    }

    fn find_by(
        places: Vec<Place>,
        name: &Name,
        stem: &str,
        numbered: &dyn Fn(&str) -> Option<Numbered>,
        work: &mut Work<'_, '_>,
    ) -> Result<Self, Failure> {
        let mut files = Vec::new();
        let (mut dark, mut reasons, mut hint) = (Vec::new(), Vec::new(), None);
        for (number, place) in places.iter().enumerate() {
            let entries = match place.list(stem, &|file| numbered(file).is_some()) {
                Ok(entries) => entries,
                Err(error) => {
                    dark.push(number);
                    hint = hint.or_else(|| advice(&error));
                    let mut why = vec![format!("cannot look into {place}"), error.to_string()];
                    // What a store says last is why: a name that is not known, nobody who listens.
                    why.extend(chain(&error));
                    reasons.push(why.join(": "));
                    continue;
                }
            };
            files.extend(entries.into_iter().filter_map(|entry| {
                Some(ShardFile {
                    place: number,
                    number: numbered(&entry.name)?,
                    name: entry.name,
                    size: entry.size,
                })
            }));
        }
        work.interrupt.check().map_err(|_| Failure::Interrupted)?;
        for full in leave_the_fullest(&mut files, places.len()) {
            reasons.push(format!(
                "cannot look into {}: with its files there are more than {FILES_MAX} that are \
                 called like shards of this object",
                places[full]
            ));
            dark.push(full);
        }
        if files.is_empty() {
            return Err(Failure::NoShards {
                name: name.clone(),
                places: reasons,
                hint,
            });
        }
        for reason in reasons {
            work.ui.note(&format!("warning: {reason}"));
        }
        files.sort_by_key(|file| (file.number, file.place));
        Ok(Self {
            places,
            files,
            dark,
            interrupt: work.interrupt.clone(),
        })
    }

    /// All of them, to be read, in their order.
    pub(crate) fn sources(&self) -> Vec<Source> {
        self.files.iter().map(|file| self.source(file)).collect()
    }

    pub(crate) fn source(&self, file: &ShardFile) -> Source {
        let place = &self.places[file.place];
        Source::open(place, &file.name, file.size, self.interrupt.clone())
    }

    /// Where the shard is that was handed over in this place.
    pub(crate) fn location(&self, input: usize) -> String {
        match self.files.get(input) {
            Some(file) => self.places[file.place].location(&file.name),
            None => format!("input {input}"),
        }
    }

    /// The places that cannot be looked into, as they are called.
    pub(crate) fn dark_places(&self) -> Vec<String> {
        let dark = self.dark.iter();
        dark.map(|place| self.places[*place].to_string()).collect()
    }

    /// Which shard that one is by its name.
    pub(crate) fn index(&self, input: usize) -> Option<u16> {
        self.files.get(input).map(|file| file.number.index)
    }
}

/// All files are open at the same time. Where there are too many, the place with the most counts as
/// lost: whoever can fill one place is to keep nobody from the others.
fn leave_the_fullest(files: &mut Vec<ShardFile>, places: usize) -> Vec<usize> {
    let mut left = Vec::new();
    while files.len() > FILES_MAX {
        let mut held = vec![0_usize; places];
        for file in files.iter() {
            held[file.place] += 1;
        }
        let fullest = (0..places).max_by_key(|place| held[*place]);
        let fullest = fullest.expect("there are files, and so a place that has them");
        files.retain(|file| file.place != fullest);
        left.push(fullest);
    }
    left
}

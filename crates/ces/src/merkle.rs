//! The two trees: over the pieces of a segment, and over the segments of an object.
//!
//! Every hash begins with a byte that says what it is of, so that nothing passes for something else.

use crate::error::TooManySegments;
use crate::geometry::Geometry;
use crate::object::ObjectId;
use crate::record::RECORD_LEN;

/// Length of a hash, in bytes.
pub const HASH_LEN: usize = 32;
/// Length of a check, which finds accidents, in bytes.
pub(crate) const CHECK_LEN: usize = 16;
/// How many segments an object has at most.
pub const SEGMENTS_MAX: u64 = 1 << 32;

/// A BLAKE3 hash or MAC.
pub type Hash = [u8; HASH_LEN];

/// What a hash is of: the first byte of everything that is hashed.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Domain {
    Header = 0x00,
    Leaf = 0x01,
    Node = 0x02,
    IndexBlock = 0x03,
    Trailer = 0x04,
    SegmentLeaf = 0x05,
    SegmentNode = 0x06,
    Object = 0x07,
}

/// `B3(domain ‖ parts)`.
pub(crate) fn hash(domain: Domain, parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[domain as u8]);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// `B3(domain ‖ parts)[..16]`.
pub(crate) fn check(domain: Domain, parts: &[&[u8]]) -> [u8; CHECK_LEN] {
    let hash = hash(domain, parts);
    *hash.first_chunk().expect("a hash is longer than a check")
}

/// `leaf i` of segment `segment`: the only thing that says where a piece belongs.
///
/// The piece is hashed by itself, because BLAKE3 is up to a third slower on what does not begin at
/// a multiple of its 1,024 bytes.
pub(crate) fn leaf(object: &ObjectId, segment: u32, index: u8, piece: &[u8]) -> Hash {
    let piece = blake3::hash(piece);
    hash(
        Domain::Leaf,
        &[
            &object.0,
            &segment.to_be_bytes(),
            &[index],
            piece.as_bytes(),
        ],
    )
}

/// The tree over the pieces of one segment. Its memory is used again for the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct PieceTree {
    /// The root at 1, the children of `i` at `2i` and `2i + 1`, the leaves at `2^d`.
    nodes: Vec<Hash>,
}

impl PieceTree {
    /// Builds the tree over `leaves`, of which there are as many as `geometry` has pieces.
    pub(crate) fn build(&mut self, geometry: Geometry, leaves: impl Iterator<Item = Hash>) {
        let width = 1 << geometry.depth();
        self.nodes.clear();
        self.nodes.resize(2 * width, [0; HASH_LEN]);
        for (place, leaf) in self.nodes[width..].iter_mut().zip(leaves) {
            *place = leaf;
        }
        for parent in (1..width).rev() {
            self.nodes[parent] = node(&self.nodes[2 * parent], &self.nodes[2 * parent + 1]);
        }
    }

    pub(crate) fn root(&self) -> &Hash {
        &self.nodes[1]
    }

    /// The siblings from leaf `index` up to the root, which is not among them.
    pub(crate) fn path(&self, index: u8) -> impl Iterator<Item = &Hash> {
        let leaf = self.nodes.len() / 2 + usize::from(index);
        std::iter::successors(Some(leaf), |at| Some(at / 2))
            .take_while(|at| *at > 1)
            .map(|at| &self.nodes[at ^ 1])
    }
}

/// The root that `path` leads to from leaf `index`.
pub(crate) fn root_above(leaf: Hash, index: u8, path: &[Hash]) -> Hash {
    let climb = |(below, at): (Hash, u8), sibling| match at % 2 {
        0 => (node(&below, sibling), at / 2),
        _ => (node(sibling, &below), at / 2),
    };
    path.iter().fold((leaf, index), climb).0
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(Domain::Node, &[left, right])
}

/// Builds the segments' root, record by record: the tree of RFC 9162, section 2.1.1.
///
/// It holds one hash for every bit of the number of records, so at most 33.
#[derive(Debug, Clone, Default)]
pub struct RootBuilder {
    /// The roots of the complete subtrees, the largest first.
    stack: Vec<Hash>,
    segments: u64,
}

impl RootBuilder {
    /// A tree without a record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the record of the next segment.
    ///
    /// # Errors
    /// Fails after 2³² records.
    pub fn push(&mut self, record: &[u8; RECORD_LEN]) -> Result<(), TooManySegments> {
        let number = u32::try_from(self.segments).map_err(|_| TooManySegments)?;
        let mut right = hash(Domain::SegmentLeaf, &[&number.to_be_bytes(), record]);
        // Two subtrees of one size become one, as a carry does in a sum.
        for _ in 0..number.trailing_ones() {
            let left = self.stack.pop().expect("one subtree for every bit");
            right = segment_node(&left, &right);
        }
        self.stack.push(right);
        self.segments += 1;
        Ok(())
    }

    /// How many records were added.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// The root over all records that were added.
    ///
    /// # Panics
    /// If there was none: an object has at least one segment.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.stack.iter().rev();
        let smallest = *subtrees.next().expect("an object has at least one segment");
        subtrees.fold(smallest, |right, left| segment_node(left, &right))
    }
}

fn segment_node(left: &Hash, right: &Hash) -> Hash {
    hash(Domain::SegmentNode, &[left, right])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: ObjectId = ObjectId([3; 16]);

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|i| leaf(&OBJECT, 9, i, &[i])).collect()
    }

    #[test]
    fn every_path_leads_to_the_root_from_its_own_leaf_only() {
        let mut tree = PieceTree::default();
        for (data, parity) in [(1, 0), (1, 1), (2, 1), (8, 4), (5, 12), (100, 55)] {
            let geometry = Geometry::new(data, parity).unwrap();
            let leaves = leaves(data + parity);
            tree.build(geometry, leaves.iter().copied());
            for (index, leaf) in (0..).zip(&leaves) {
                let path: Vec<Hash> = tree.path(index).copied().collect();
                assert_eq!(path.len() * HASH_LEN, geometry.path_len());
                assert_eq!(root_above(*leaf, index, &path), *tree.root());
                if !path.is_empty() {
                    assert_ne!(root_above(*leaf, index ^ 1, &path), *tree.root());
                }
            }
        }
    }

    #[test]
    fn missing_leaves_are_zeros() {
        let mut tree = PieceTree::default();
        let leaves = leaves(3);
        tree.build(Geometry::new(2, 1).unwrap(), leaves.iter().copied());
        let right = node(&leaves[2], &[0; 32]);
        assert_eq!(*tree.root(), node(&node(&leaves[0], &leaves[1]), &right));
    }

    /// The recursion as RFC 9162, section 2.1.1 has it.
    fn by_recursion(leaves: &[Hash]) -> Hash {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                segment_node(&by_recursion(left), &by_recursion(right))
            }
        }
    }

    #[test]
    fn the_running_root_is_that_of_the_rfc() {
        let record = |number: u32| {
            let mut record = [7; RECORD_LEN];
            record[..4].copy_from_slice(&number.to_be_bytes());
            record
        };
        let leaf = |number: u32| {
            let leaf: [&[u8]; 2] = [&number.to_be_bytes(), &record(number)];
            hash(Domain::SegmentLeaf, &leaf)
        };
        let mut builder = RootBuilder::new();
        let mut leaves = Vec::new();
        for number in 0..130 {
            builder.push(&record(number)).unwrap();
            leaves.push(leaf(number));
            assert_eq!(builder.root(), by_recursion(&leaves), "{number}");
        }
    }

    #[test]
    fn an_object_has_at_most_2_to_the_32_segments() {
        let mut builder = RootBuilder {
            stack: vec![[0; 32]; 32],
            segments: SEGMENTS_MAX - 1,
        };
        builder.push(&[0; RECORD_LEN]).unwrap();
        assert_eq!(builder.stack.len(), 1);
        assert_eq!(builder.push(&[0; RECORD_LEN]), Err(TooManySegments));
    }
}

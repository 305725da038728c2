//! Tiles: their paths and places, and a log that is read from them.

use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};
use tlog::{
    Bundle, Hash, MAX_ENTRY, MAX_SIZE, MemoryTree, Nodes, ReadError, Tile, TileError, TileReader,
    consistency_proof, inclusion_proof, root, verify_consistency, verify_inclusion,
};

/// C2SP, tlog-tiles: "a tree of size 70,000", "a tree of size 256", the path of index 1234067.
#[test]
fn the_examples_of_the_specification() {
    let tiles: Vec<Tile> = Tile::all(70_000).collect();
    let count = |level, full: bool| {
        tiles.iter().filter(|t| t.level() == level && (t.width() == 256) == full).count()
    };
    assert_eq!((count(0, true), count(0, false)), (273, 1));
    assert_eq!((count(1, true), count(1, false)), (1, 1));
    assert_eq!((count(2, true), count(2, false)), (0, 1));
    let partial: Vec<u16> = tiles.iter().map(Tile::width).filter(|w| *w < 256).collect();
    assert_eq!(partial, [112, 17, 1]);
    assert_eq!(tiles.len(), 277);
    let paths: Vec<String> = Tile::all(256).map(|tile| tile.to_string()).collect();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
    let tile = Tile::new(0, 1_234_067, 256).unwrap();
    assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
}

#[test]
fn paths_have_one_spelling() {
    for path in ["tile/0/000", "tile/7/000.p/63", "tile/1/x001/234", "tile/0/x001/x234/067.p/255"] {
        assert_eq!(path.parse::<Tile>().unwrap().to_string(), path);
    }
    for path in ["tile/entries/000", "tile/entries/x999/999.p/1"] {
        assert_eq!(path.parse::<Bundle>().unwrap().to_string(), path);
        assert!(path.parse::<Tile>().is_err());
    }
    for path in [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/x234",
        "tile/0/x001",
        "tile/0/001/234",
        "tile/0/x01/234",
        "tile/0/+01",
        "tile/00/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/64/000",
        "tile/300/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile/7/001",
        "tile/7/000.p/65",
        "tile/0/x018/x446/x744/x073/x709/x551/615",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
}

#[test]
fn a_tile_is_one_that_some_log_has() {
    assert!(Tile::new(7, 0, 64).is_some());
    for (level, index, width) in [
        (0, 0, 0),
        (0, 0, 257),
        (8, 0, 1),
        (255, 0, 1),
        (7, 0, 65),
        (7, 1 << 56, 1),
        (7, u64::MAX, 256),
        (0, MAX_SIZE >> 8, 1),
        (0, u64::MAX, 256),
    ] {
        assert_eq!(Tile::new(level, index, width), None, "{level} {index} {width}");
    }
    assert!(Tile::new(0, (MAX_SIZE >> 8) - 1, 256).is_some());
}

#[test]
fn what_a_log_grew_by_is_what_it_did_not_have() {
    for (old, new) in [(0, 0), (5, 5), (5, 6), (0, 256), (255, 257), (256, 512), (300, 70_000)] {
        let had: BTreeSet<Tile> = Tile::all(old).collect();
        let has: BTreeSet<Tile> = Tile::all(new).collect();
        let grown: BTreeSet<Tile> = Tile::grown(old, new).collect();
        assert_eq!(grown, has.difference(&had).copied().collect(), "{old} {new}");
        let bundles = Bundle::grown(old, new).map(|b| (b.index(), b.width()));
        let leaves = Tile::grown(old, new).filter(|t| t.level() == 0);
        assert!(bundles.eq(leaves.map(|t| (t.index(), t.width()))));
    }
}

#[test]
fn bundles_are_entries_after_their_lengths() {
    let bundle = Bundle::new(0, 3).unwrap();
    let bytes = bundle.to_bytes(&[&b"soil"[..], b"", b"x"]).unwrap();
    assert_eq!(bytes, b"\x00\x04soil\x00\x00\x00\x01x");
    assert_eq!(bundle.parse(&bytes), Ok(vec![&b"soil"[..], b"", b"x"]));
    for cut in 0..bytes.len() {
        let error = TileError::BundleLength { bundle, len: cut };
        assert_eq!(bundle.parse(&bytes[..cut]), Err(error));
    }
    assert!(bundle.parse(&[&bytes[..], b"\x00"].concat()).is_err());
    let one = Bundle::new(0, 1).unwrap();
    assert_eq!(one.to_bytes(&[vec![7; MAX_ENTRY]]).unwrap().len(), MAX_ENTRY + 2);
    let len = MAX_ENTRY + 1;
    assert_eq!(one.to_bytes(&[vec![7; len]]), Err(TileError::EntryLength { len }));
}

#[test]
fn a_log_is_read_and_proved_from_its_tiles() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 600, 65_535, 65_536, 65_537, 66_000] {
        let log = Files::new(size);
        let reader = TileReader::new(size, &log.tree.root(), log.fetch()).unwrap();
        for bundle in Bundle::all(size).step_by(7) {
            let entries = reader.entries(bundle.index()).unwrap();
            let expected: Vec<Vec<u8>> =
                (bundle.first()..).take(bundle.width().into()).map(entry).collect();
            assert_eq!(entries, expected);
        }
        assert!(reader.entries(size.div_ceil(256)).is_err());
        for old in [1, size / 3, size / 2 + 1, size].into_iter().filter(|n| (1..=size).contains(n))
        {
            let proof = inclusion_proof(old - 1, size, &reader).unwrap();
            let leaf = Hash::of_leaf(&entry(old - 1));
            verify_inclusion(&leaf, old - 1, size, &log.tree.root(), &proof).unwrap();
            let proof = consistency_proof(old, size, &reader).unwrap();
            let root = root(old, &reader).unwrap();
            verify_consistency(old, &root, size, &log.tree.root(), &proof).unwrap();
        }
    }
}

#[test]
fn every_node_read_from_tiles_is_that_of_the_tree() {
    let log = Files::new(700);
    let reader = TileReader::new(700, &log.tree.root(), log.fetch()).unwrap();
    for level in 0..12 {
        for index in 0..700 {
            let expected = log.tree.node(level, index).ok();
            assert_eq!(reader.node(level, index).ok(), expected, "{level} {index}");
        }
    }
    for (level, index) in [(64, 0), (255, 0), (63, 1), (0, u64::MAX), (63, u64::MAX)] {
        assert!(matches!(reader.node(level, index), Err(ReadError::Beyond { .. })));
    }
    let too_large = TileReader::new(MAX_SIZE + 1, &log.tree.root(), log.fetch());
    assert!(matches!(too_large.err(), Some(ReadError::Beyond { .. })));
}

/// Reading in order fetches each file once: what is checked is remembered.
#[test]
fn reading_in_order_fetches_each_file_once() {
    let log = Files::new(66_000);
    let count = Cell::new(0);
    let fetch = |path: &str, max: usize| {
        count.set(count.get() + 1);
        log.fetch()(path, max)
    };
    let reader = TileReader::new(66_000, &log.tree.root(), fetch).unwrap();
    Bundle::all(66_000).for_each(|bundle| drop(reader.entries(bundle.index()).unwrap()));
    assert_eq!(count.get(), log.files.len());
}

#[test]
fn a_full_tile_serves_for_a_partial_one() {
    let (large, small) = (Files::new(512), Files::new(300));
    let fetch = |path: &str, max: usize| {
        let path = path.replace("tile/0/001.p/44", "tile/0/001");
        if path == "tile/0/001" { large.fetch()(&path, max) } else { small.fetch()(&path, max) }
    };
    let reader = TileReader::new(300, &small.tree.root(), fetch).unwrap();
    assert_eq!(reader.node(0, 299), small.tree.node(0, 299).map_err(|_| unreachable!()));
}

#[test]
fn every_file_is_needed_and_checked() {
    let size = 66_000;
    let mut log = Files::new(size);
    let root = log.tree.root();
    let paths: Vec<String> = log.files.keys().step_by(29).cloned().collect();
    let edges = ["tile/0/257.p/208", "tile/1/001.p/1", "tile/2/000.p/1", "tile/1/000"];
    let read_all = |log: &Files| {
        let reader = TileReader::new(size, &root, log.fetch())?;
        Bundle::all(size).try_for_each(|b| reader.entries(b.index()).map(drop))
    };
    for path in paths.iter().map(String::as_str).chain(edges) {
        let good = log.files[path].clone();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for bad in [Some(bad), Some(good[1..].to_vec()), Some(vec![]), None] {
            match bad {
                Some(bad) => drop(log.files.insert(path.to_owned(), bad)),
                None => drop(log.files.remove(path)),
            }
            let error = read_all(&log).expect_err(path).to_string();
            assert!(!error.is_empty());
        }
        log.files.insert(path.to_owned(), good);
    }
    read_all(&log).expect("all are good again");
}

proptest! {
    #[test]
    fn a_wrong_size_or_root_is_refused(size in 1u64..2000, other in 1u64..2000) {
        let log = Files::new(size);
        prop_assume!(other != size);
        prop_assert!(TileReader::new(size, &Hash::EMPTY_TREE, log.fetch()).is_err());
        prop_assert!(TileReader::new(other, &log.tree.root(), log.fetch()).is_err());
    }

    #[test]
    fn paths_print_and_read_back(level in 0u8..8, index: u64, width in 1u16..=256) {
        let index = index % (MAX_SIZE >> (8 * level) >> 8).max(1);
        if let Some(tile) = Tile::new(level, index, width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }
        if let Some(bundle) = Bundle::new(index, width) {
            prop_assert_eq!(bundle.to_string().parse(), Ok(bundle));
        }
    }
}

/// A log as the files that would be served.
struct Files {
    tree: MemoryTree,
    files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    fn new(size: u64) -> Self {
        let tree: MemoryTree = (0..size).map(|i| Hash::of_leaf(&entry(i))).collect();
        let tiles = Tile::all(size).map(|t| (t.to_string(), t.to_bytes(&tree).unwrap()));
        let bundles = Bundle::all(size).map(|b| {
            let entries = (b.first()..).take(b.width().into()).map(entry);
            (b.to_string(), b.to_bytes(&entries.collect::<Vec<_>>()).unwrap())
        });
        let files = tiles.chain(bundles).collect();
        Self { tree, files }
    }

    fn fetch(&self) -> impl Fn(&str, usize) -> Result<Vec<u8>, &'static str> {
        |path, max| {
            let bytes = self.files.get(path).ok_or("no such file")?;
            if bytes.len() <= max { Ok(bytes.clone()) } else { Err("too long") }
        }
    }
}

fn entry(i: u64) -> Vec<u8> {
    i.to_string().repeat((i % 3) as usize).into_bytes()
}

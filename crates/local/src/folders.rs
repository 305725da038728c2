//! Where the peers of a swarm and the demos of a person lie.

use std::path::{Path, PathBuf};

/// Most peers of a swarm in one folder.
const MOST_PEERS: usize = 64;

/// What demos are called, the first without a number.
const DEMO: &str = "understory-demo";

/// The folder of the peer `number`, from 0, of the swarm in `folder`.
pub fn peer_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("peer-{}", number + 1))
}

/// The folder of that peer's store.
pub fn peer_store(folder: &Path, number: usize) -> PathBuf {
    peer_folder(folder, number).join("store")
}

/// The folders of the peers in `folder`: itself, or those of a swarm in order; none where there is
/// neither.
pub fn peer_folders(folder: &Path) -> Vec<PathBuf> {
    let is_peer = |folder: &Path| folder.join("store").is_dir();
    if is_peer(folder) {
        return vec![folder.to_path_buf()];
    }
    let peers = (0..MOST_PEERS).map(|number| peer_folder(folder, number));
    peers.filter(|folder| is_peer(folder)).collect()
}

/// The first folder in `place` for a new demo.
pub fn free_demo(place: &Path) -> PathBuf {
    demos(place).find(|folder| !folder.exists()).unwrap_or_else(|| place.join(DEMO))
}

/// The newest demo in `place` that can go on.
pub fn newest_demo(place: &Path) -> Option<PathBuf> {
    let there = demos(place).take_while(|folder| folder.exists());
    there.filter(|folder| crate::plan::Plan::is_in(folder)).last()
}

fn demos(place: &Path) -> impl Iterator<Item = PathBuf> {
    let numbered = (2..10_000).map(|number| format!("{DEMO}-{number}"));
    std::iter::once(DEMO.to_owned()).chain(numbered).map(move |name| place.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn peers_are_the_folder_itself_or_those_in_it() {
        let top = tempfile::tempdir().expect("a folder");
        assert_eq!(peer_folders(top.path()), [] as [PathBuf; 0]);
        for number in [2, 0] {
            fs::create_dir_all(peer_store(top.path(), number)).expect("it is made");
        }
        fs::create_dir(peer_folder(top.path(), 1)).expect("it is made");
        let both = [0, 2].map(|number| peer_folder(top.path(), number));
        assert_eq!(peer_folders(top.path()), both, "one has no store");
        assert_eq!(peer_folders(&both[1]), [both[1].clone()]);
    }

    #[test]
    fn a_new_demo_has_a_folder_of_its_own_and_the_newest_goes_on() {
        let place = tempfile::tempdir().expect("a folder");
        let demo = |name: &str| place.path().join(name);
        assert_eq!(newest_demo(place.path()), None);
        assert_eq!(free_demo(place.path()), demo("understory-demo"));
        fs::create_dir(demo("understory-demo")).expect("it is made");
        assert_eq!(free_demo(place.path()), demo("understory-demo-2"));
        assert_eq!(newest_demo(place.path()), None, "there is no plan in it");
        let wanted = crate::plan::Wanted {
            peers: 2,
            cheaters: 0,
            cheat: cotrain::cheat::Cheat::Lazy,
            data: Vec::new(),
            family: model::decoder::Family::Llama,
            minutes: 1.0,
            rounds: None,
            steps: None,
            seed: 1,
        };
        let plan = crate::plan::Plan::new(&wanted).expect("a plan");
        for name in ["understory-demo-2", "understory-demo-3"] {
            plan.keep(&demo(name)).expect("it is kept");
        }
        fs::create_dir(demo("understory-demo-5")).expect("it is made");
        assert_eq!(newest_demo(place.path()), Some(demo("understory-demo-3")));
    }
}

//! A state that is kept in memory is that of the log on disk, whatever happened to the log.

use crate::town::*;
use commons::{Archive, Home, StateCache, author, operator, state::State, statement::Claim, view};
use ids::Identity;

struct Garden {
    _dir: tempfile::TempDir,
    home: Home,
    archive: Archive,
    people: Vec<Person>,
    operator: Identity,
}

impl Garden {
    fn new() -> Self {
        let people: Vec<Person> = (0..3).map(Person::new).collect();
        let operator = identity(8_000, 0);
        let body = genesis(&people, operator.id(), rules());
        let (genesis, head) = author::found(&people[0].key, &operator, body).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path(), &genesis, Some(&head)).unwrap();
        let archive = home.archive().unwrap();
        Self { _dir: dir, home, archive, people, operator }
    }

    /// As another process: somebody is called something from now on.
    fn names(&self, name: &str) {
        let mut state = self.home.state(&self.archive.snapshot().unwrap()).unwrap();
        let claim = Claim::Person { name: name.into() };
        self.archive.write(&state, &self.people[1].key, about(&self.people[1], claim)).unwrap();
        operator::integrate(&self.archive, &mut state, &self.operator).unwrap();
    }

    fn look(&self, cache: &mut StateCache) -> State {
        let log = self.archive.snapshot().unwrap();
        let state = cache.take(&self.home, &log).unwrap();
        assert_eq!(view::digests(&state), view::digests(&self.home.state(&log).unwrap()));
        cache.keep(state.clone(), &log).unwrap();
        state
    }

    fn called(&self, state: &State) -> String {
        state.members[&self.people[1].id].name.clone()
    }
}

#[test]
fn a_kept_state_follows_the_log_as_others_write_it() {
    let (garden, mut cache) = (Garden::new(), StateCache::default());
    assert_eq!(garden.look(&mut cache).size, 1);
    for name in ["Rose", "Dahlia"] {
        garden.names(name);
        assert_eq!(garden.called(&garden.look(&mut cache)), name);
    }
    // Taken out and not put back, it is read anew.
    let log = garden.archive.snapshot().unwrap();
    drop(cache.take(&garden.home, &log).unwrap());
    assert_eq!(garden.look(&mut cache).size, 3);
}

#[test]
fn a_kept_state_gives_way_where_the_log_is_of_another_history() {
    let (garden, mut cache) = (Garden::new(), StateCache::default());
    garden.names("Rose");
    garden.look(&mut cache);
    for (size, name) in [(1, "Dahlia"), (1, "Iris")] {
        garden.archive.roll_back(size).unwrap();
        let waiting: Vec<_> = garden.archive.snapshot().unwrap().pending().unwrap();
        let gone: Vec<_> = waiting.iter().map(|waiting| waiting.statement.hash()).collect();
        garden.archive.drop_pending(&gone).unwrap();
        garden.names(name);
        let state = garden.look(&mut cache);
        assert_eq!((state.size, garden.called(&state).as_str()), (2, name), "of the same length");
    }
    garden.archive.roll_back(1).unwrap();
    assert_eq!(garden.look(&mut cache).size, 1, "a shorter one");
}

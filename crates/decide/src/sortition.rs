//! Panels by lot: uniform among all panels that meet the quotas.
//!
//! The draw is exact. People who are alike in the attributes form cells; how many panels there are with
//! so many people of each cell is counted with whole numbers of any length, one of the distributions
//! is drawn by that weight, and then people of each cell by equal chance. Where attributes are so many
//! that counting is too much work, the first ones are counted and panels that miss a quota of the
//! others are drawn again, which leaves the feasible ones equally likely.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lot::Lot;
use super::quotas::Share;
use super::ways::{Cell, Uncounted, Ways};

/// The most people of a lottery.
pub const MAX_PEOPLE: usize = 100_000;
/// The most seats of a panel.
pub const MAX_PANEL: u32 = 1_000;
/// The most attributes, and the most quotas of all attributes together.
pub const MAX_QUOTAS: usize = 64;
/// How much counting is done before attributes are left to drawing again.
const COUNTING: u64 = 100_000_000;
/// How often a panel is drawn again.
const TRIES: u32 = 4_000;

/// Somebody who can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who; no two people have the same.
    pub id: String,
    /// Their value of each attribute of the lottery, in its order.
    pub values: Vec<String>,
}

/// Something that people differ in, such as the house, the region or the employer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// What it is called.
    pub name: String,
    /// Quotas; a value without one may have any number.
    pub quotas: Vec<Share>,
}

/// What is published before the draw: together with the seed it fixes the panel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lottery {
    /// Who can be drawn; the order does not matter.
    pub people: Vec<Person>,
    /// What they differ in.
    pub attributes: Vec<Attribute>,
    /// How many sit on the panel.
    pub size: u32,
}

/// Who was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Panel {
    /// The members, in the order of their ids.
    pub members: Vec<String>,
    /// Everybody else, in the order in which they are asked to stand in.
    pub stand_ins: Vec<String>,
    /// How many panels were possible, in decimal, as far as the counted attributes say.
    pub possible: String,
    /// How many attributes were counted; the others were met by drawing again.
    pub counted: usize,
    /// How many panels were drawn until all quotas were met.
    pub tries: u32,
}

/// Why there is no panel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortitionError {
    /// Too many people, seats, attributes or quotas.
    #[error("{people} people, a panel of {size}, {quotas} quotas: more than a lottery may have")]
    TooLarge {
        /// How many people.
        people: usize,
        /// The panel.
        size: u32,
        /// The quotas.
        quotas: usize,
    },
    /// Two people of one id.
    #[error("two people have the id {0:?}")]
    SamePerson(String),
    /// Somebody's values are not one for each attribute.
    #[error("{id:?} has {values} values for {attributes} attributes")]
    Values {
        /// Who.
        id: String,
        /// How many values.
        values: usize,
        /// How many attributes there are.
        attributes: usize,
    },
    /// Two quotas for one value, or a least above the most.
    #[error(
        "the quota of {value:?} in {attribute:?} is there twice, or its least is above its most"
    )]
    BadQuota {
        /// Of what.
        attribute: String,
        /// For which value.
        value: String,
    },
    /// No panel meets the quotas (as far as they could be counted).
    #[error("no panel meets the quotas")]
    Impossible,
    /// None was found; there may be none.
    #[error("{TRIES} panels were drawn, and none met all quotas")]
    NotFound,
}

/// The seed of a draw in version 1 of the rules, which does not name its question: two draws under one
/// checkpoint seat the same people. New draws have [`panel_seed`].
///
/// BLAKE3 in key derivation mode over root ‖ reveals, sorted.
pub fn draw_seed(root: &[u8; 32], reveals: &[[u8; 32]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("understory commons v1 seed of a draw");
    hasher.update(root);
    update_sorted(&mut hasher, reveals);
    *hasher.finalize().as_bytes()
}

/// The seed of a public draw: its question and round, a checkpoint's root that nobody knew when the
/// secrets were committed to, and the secrets that were revealed after it. The log's operator can
/// choose the root and a member can withhold its secret, but neither knows what the others reveal.
///
/// BLAKE3 in key derivation mode over question ‖ round (u32, little endian) ‖ root ‖ secrets, sorted.
pub fn panel_seed(
    question: &[u8; 32],
    round: u32,
    root: &[u8; 32],
    secrets: &[[u8; 32]],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("understory commons v2 seed of a draw");
    hasher.update(question).update(&round.to_le_bytes()).update(root);
    update_sorted(&mut hasher, secrets);
    *hasher.finalize().as_bytes()
}

/// The seed of the lot that settles ties of a question with sealed ballots: what kept the ballots
/// secret is what nobody could know before.
///
/// BLAKE3 in key derivation mode over question ‖ root ‖ secrets, sorted.
pub fn tie_seed(question: &[u8; 32], root: &[u8; 32], secrets: &[[u8; 32]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("understory commons v2 seed of a tie's lot");
    hasher.update(question).update(root);
    update_sorted(&mut hasher, secrets);
    *hasher.finalize().as_bytes()
}

fn update_sorted(hasher: &mut blake3::Hasher, secrets: &[[u8; 32]]) {
    let mut sorted = secrets.to_vec();
    sorted.sort_unstable();
    sorted.iter().for_each(|secret| {
        hasher.update(secret);
    });
}

impl Lottery {
    /// Draws the panel that `seed` says.
    ///
    /// Errors: any [`SortitionError`].
    pub fn draw(&self, seed: &[u8; 32]) -> Result<Panel, SortitionError> {
        self.draw_counting(seed, COUNTING)
    }

    /// The panel when members in `gone` have left it, in that order: for each, the first stand-in with
    /// whom all quotas are met. `None` if there is none. Stand-ins who decline are in `gone` too.
    pub fn replace(&self, panel: &Panel, gone: &[String]) -> Option<Vec<String>> {
        let values: BTreeMap<&str, &[String]> =
            self.people.iter().map(|person| (&*person.id, &*person.values)).collect();
        let away: BTreeSet<&String> = gone.iter().collect();
        let mut members = panel.members.clone();
        let of = |id: &String| values.get(&**id).copied().unwrap_or_default();
        for id in gone {
            let Some(seat) = members.iter().position(|member| member == id) else { continue };
            // Whoever has the same values as one who does not fit does not fit either.
            let mut unfit: BTreeSet<&[String]> = BTreeSet::new();
            let next = panel.stand_ins.iter().find(|stand_in| {
                if away.contains(stand_in) || members.contains(stand_in) {
                    return false;
                }
                let mut tried: Vec<&[String]> = members.iter().map(of).collect();
                tried[seat] = of(stand_in);
                !unfit.contains(tried[seat]) && (self.met(&tried, 0) || !unfit.insert(tried[seat]))
            })?;
            members[seat] = next.clone();
        }
        members.sort_unstable();
        Some(members)
    }

    fn draw_counting(&self, seed: &[u8; 32], effort: u64) -> Result<Panel, SortitionError> {
        self.check()?;
        let mut people: Vec<&Person> = self.people.iter().collect();
        people.sort_by_key(|person| &person.id);
        let (counted, lists, cells, ways) =
            self.count(&people, effort).ok_or(SortitionError::Impossible)?;
        let mut lot = Lot::new(seed);
        for tries in 1..=TRIES {
            let members = ways.draw(&cells, &mut lot);
            let members: Vec<usize> =
                members.into_iter().map(|(cell, at)| lists[cell][at]).collect();
            let values: Vec<&[String]> = members.iter().map(|&p| &people[p].values[..]).collect();
            if self.met(&values, counted) {
                let (members, stand_ins) = with_stand_ins(&people, members, &mut lot);
                let possible = ways.total().to_string();
                return Ok(Panel { members, stand_ins, possible, counted, tries });
            }
        }
        Err(SortitionError::NotFound)
    }

    fn check(&self) -> Result<(), SortitionError> {
        let (people, size) = (self.people.len(), self.size);
        let quotas = self.attributes.iter().map(|attribute| attribute.quotas.len()).sum();
        if people > MAX_PEOPLE || size > MAX_PANEL || self.attributes.len().max(quotas) > MAX_QUOTAS
        {
            return Err(SortitionError::TooLarge { people, size, quotas });
        }
        let mut ids = BTreeSet::new();
        for Person { id, values } in &self.people {
            if !ids.insert(id) {
                return Err(SortitionError::SamePerson(id.clone()));
            }
            let (values, attributes) = (values.len(), self.attributes.len());
            if values != attributes {
                return Err(SortitionError::Values { id: id.clone(), values, attributes });
            }
        }
        for attribute in &self.attributes {
            let mut values = BTreeSet::new();
            for Share { value, min, max } in &attribute.quotas {
                if !values.insert(value) || min > max {
                    let (attribute, value) = (attribute.name.clone(), value.clone());
                    return Err(SortitionError::BadQuota { attribute, value });
                }
            }
        }
        Ok(())
    }

    /// Whether people of these values meet the quotas of the attributes from `first` on.
    fn met(&self, values: &[&[String]], first: usize) -> bool {
        self.attributes.iter().enumerate().skip(first).all(|(at, attribute)| {
            attribute.quotas.iter().all(|share| {
                let count = values.iter().filter(|v| v.get(at) == Some(&share.value)).count();
                (share.min as usize..=share.max as usize).contains(&count)
            })
        })
    }

    /// Counts panels by as many attributes as the effort allows; `None` if there are none.
    fn count(&self, people: &[&Person], effort: u64) -> Option<Counted> {
        for counted in (0..=self.attributes.len()).rev() {
            let quotas: Vec<&Share> =
                self.attributes[..counted].iter().flat_map(|attribute| &attribute.quotas).collect();
            let (lists, cells) = self.cells(people, counted);
            // Without attributes there is one cell, and counting is as many steps as seats.
            let effort = if counted == 0 { u64::MAX } else { effort };
            match Ways::count(&cells, &quotas, self.size, effort) {
                Ok(ways) => return Some((counted, lists, cells, ways)),
                Err(Uncounted::NoPanel) => return None,
                Err(Uncounted::Effort) => {}
            }
        }
        None
    }

    /// People by the quotas of the first `counted` attributes that speak of them.
    fn cells(&self, people: &[&Person], counted: usize) -> (Vec<Vec<usize>>, Vec<Cell>) {
        let mut cells: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for (number, person) in people.iter().enumerate() {
            let mut quotas = Vec::new();
            let mut offset = 0;
            for (attribute, value) in self.attributes[..counted].iter().zip(&person.values) {
                let at = attribute.quotas.iter().position(|share| share.value == *value);
                quotas.extend(at.map(|at| offset + at));
                offset += attribute.quotas.len();
            }
            cells.entry(quotas).or_default().push(number);
        }
        let cell = |(quotas, list): (_, Vec<usize>)| {
            let people = list.len();
            (list, Cell { quotas, people })
        };
        cells.into_iter().map(cell).unzip()
    }
}

/// How many attributes were counted, who is in which cell, the cells, and the ways to take of them.
type Counted = (usize, Vec<Vec<usize>>, Vec<Cell>, Ways);

/// The members' and the others' ids, the others in a drawn order.
fn with_stand_ins(
    people: &[&Person],
    mut members: Vec<usize>,
    lot: &mut Lot,
) -> (Vec<String>, Vec<String>) {
    members.sort_unstable();
    let others: Vec<usize> =
        (0..people.len()).filter(|person| members.binary_search(person).is_err()).collect();
    let order = lot.pick(others.len(), others.len());
    let others = order.into_iter().map(|at| others[at]).collect();
    let ids = |numbers: Vec<usize>| numbers.into_iter().map(|p| people[p].id.clone()).collect();
    (ids(members), ids(others))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People `a0 … b3` of a house (a, b) and a region (even, odd number).
    fn lottery(size: u32, house: (u32, u32), odd: (u32, u32)) -> Lottery {
        let share = |value: &str, (min, max)| Share { value: value.to_owned(), min, max };
        let person = |house: &str, number: u32| Person {
            id: format!("{house}{number}"),
            values: vec![house.to_owned(), if number % 2 == 1 { "odd" } else { "even" }.to_owned()],
        };
        let attribute =
            |name: &str, share| Attribute { name: name.to_owned(), quotas: vec![share] };
        Lottery {
            people: (0..5).map(|n| person("a", n)).chain((0..4).map(|n| person("b", n))).collect(),
            attributes: vec![
                attribute("house", share("a", house)),
                attribute("region", share("odd", odd)),
            ],
            size,
        }
    }

    fn seed(number: u32) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    /// All panels that meet the quotas, tried out.
    fn feasible(lottery: &Lottery) -> BTreeSet<Vec<String>> {
        let panel = |set: u32| -> Vec<&Person> {
            lottery
                .people
                .iter()
                .zip(0..)
                .filter(|(_, at)| set >> at & 1 == 1)
                .map(|(p, _)| p)
                .collect()
        };
        (0..1u32 << lottery.people.len())
            .filter(|set| set.count_ones() == lottery.size)
            .map(panel)
            .filter(|panel| {
                lottery.met(&panel.iter().map(|p| &p.values[..]).collect::<Vec<_>>(), 0)
            })
            .map(|panel| panel.into_iter().map(|person| person.id.clone()).collect())
            .collect()
    }

    /// With all attributes counted, with the first, and with none: the same chance for each panel.
    #[test]
    fn all_feasible_panels_are_equally_likely() {
        let lottery = lottery(4, (1, 2), (2, 3));
        let feasible = feasible(&lottery);
        for (effort, counted) in [(COUNTING, 2), (5_000, 1), (0, 0)] {
            let mut seen: BTreeMap<Vec<String>, f64> = BTreeMap::new();
            let draws = 50 * feasible.len() as u32;
            for number in 0..draws {
                let panel = lottery.draw_counting(&seed(number), effort).expect("there are panels");
                assert_eq!(panel.counted, counted);
                *seen.entry(panel.members).or_default() += 1.0;
            }
            assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), feasible);
            let chi: f64 = seen.values().map(|count| (count - 50.0).powi(2) / 50.0).sum();
            // Mean n, deviation √2n: five deviations.
            let freedom = feasible.len() as f64 - 1.0;
            assert!(chi < freedom + 5.0 * (2.0 * freedom).sqrt(), "{chi} of {freedom}");
        }
    }

    #[test]
    fn the_number_of_possible_panels_is_exact() {
        for (house, odd) in [((1, 2), (2, 3)), ((0, 4), (0, 4)), ((4, 4), (1, 1)), ((0, 0), (2, 2))]
        {
            let lottery = lottery(4, house, odd);
            let panel = lottery.draw(&[7; 32]).expect("there are panels");
            assert_eq!(panel.possible, feasible(&lottery).len().to_string());
        }
        assert_eq!(lottery(4, (5, 5), (0, 4)).draw(&[7; 32]), Err(SortitionError::Impossible));
        assert_eq!(lottery(10, (0, 9), (0, 9)).draw(&[7; 32]), Err(SortitionError::Impossible));
        assert!(
            lottery(0, (0, 9), (0, 9)).draw(&[7; 32]).is_ok_and(|panel| panel.members.is_empty())
        );
    }

    #[test]
    fn the_order_of_people_does_not_matter() {
        let lottery = lottery(4, (1, 2), (2, 3));
        let mut turned = lottery.clone();
        turned.people.reverse();
        assert_eq!(lottery.draw(&[9; 32]), turned.draw(&[9; 32]));
        assert_ne!(lottery.draw(&[9; 32]), lottery.draw(&[8; 32]));
    }

    #[test]
    fn stand_ins_keep_the_quotas() {
        let lottery = lottery(4, (1, 2), (2, 3));
        let feasible = feasible(&lottery);
        for number in 0..50 {
            let panel = lottery.draw(&seed(number)).expect("there are panels");
            assert_eq!(panel.members.len() + panel.stand_ins.len(), lottery.people.len());
            let gone = [panel.members[0].clone(), panel.stand_ins[0].clone()];
            let with = |stand_in: &String| {
                let mut members = panel.members[1..].to_vec();
                members.push(stand_in.clone());
                members.sort_unstable();
                members
            };
            let first = panel.stand_ins[1..].iter().map(with).find(|m| feasible.contains(m));
            assert_eq!(lottery.replace(&panel, &gone), first);
        }
        let panel = lottery.draw(&[9; 32]).expect("there are panels");
        let everybody: Vec<String> =
            lottery.people.iter().map(|person| person.id.clone()).collect();
        assert_eq!(lottery.replace(&panel, &everybody), None);
        assert_eq!(lottery.replace(&panel, &[]), Some(panel.members));
    }

    #[test]
    fn large_lotteries_are_drawn() {
        let value = |number: usize, of: usize| (number % of).to_string();
        let quotas = |of: usize, min, max| -> Vec<Share> {
            (0..of).map(|number| Share { value: number.to_string(), min, max }).collect()
        };
        let attributes = [(3, 20, 50), (7, 5, 40), (4, 10, 60)];
        let lottery = Lottery {
            people: (0..20_000)
                .map(|n| Person {
                    id: format!("{n:05}"),
                    values: attributes
                        .iter()
                        .map(|&(of, ..)| value(n * 7919 / (of + 3), of))
                        .collect(),
                })
                .collect(),
            attributes: attributes
                .iter()
                .map(|&(of, min, max)| Attribute {
                    name: of.to_string(),
                    quotas: quotas(of, min, max),
                })
                .collect(),
            size: 100,
        };
        let panel = lottery.draw(&[1; 32]).expect("there are panels");
        assert_eq!(panel.members.len(), 100);
        assert!(panel.counted >= 1);
    }

    #[test]
    fn nonsense_is_an_error() {
        let good = lottery(4, (1, 2), (2, 3));
        let mut same = good.clone();
        same.people[1].id = "a0".to_owned();
        assert_eq!(same.draw(&[0; 32]), Err(SortitionError::SamePerson("a0".to_owned())));
        let mut short = good.clone();
        short.people[1].values.pop();
        assert!(matches!(short.draw(&[0; 32]), Err(SortitionError::Values { values: 1, .. })));
        let twisted = lottery(4, (3, 2), (2, 3));
        assert!(matches!(twisted.draw(&[0; 32]), Err(SortitionError::BadQuota { .. })));
        let huge = Lottery { size: u32::MAX, ..good };
        assert!(matches!(huge.draw(&[0; 32]), Err(SortitionError::TooLarge { .. })));
    }

    #[test]
    fn the_seed_of_a_draw_does_not_depend_on_the_order_of_reveals() {
        assert_eq!(
            draw_seed(&[1; 32], &[[2; 32], [3; 32]]),
            draw_seed(&[1; 32], &[[3; 32], [2; 32]])
        );
        assert_ne!(draw_seed(&[1; 32], &[[2; 32]]), draw_seed(&[2; 32], &[[1; 32]]));
        assert_ne!(draw_seed(&[1; 32], &[[2; 32]]), draw_seed(&[1; 32], &[[2; 32], [2; 32]]));
    }
}

//! From the tree of an expression to steps.

use super::parse::{How, Tree};
use super::{Budget, Part, PatternError};

/// One step of matching; numbers of steps and classes are indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// One character of a class.
    Class(u32),
    /// As many characters of a class as possible.
    Run {
        class: u32,
        min: u32,
        max: u32,
    },
    /// Try one way, then the other.
    Split {
        first: u32,
        second: u32,
    },
    Jump(u32),
    /// Whether what follows, up to its own match, is ahead; then go on at `end`.
    Look {
        negative: bool,
        end: u32,
    },
    /// Match what follows once and for all, then go on at `end`.
    Atomic {
        end: u32,
    },
    AtEnd,
    Match,
}

/// The steps of a tree; step 0 is the first, the last is a match.
pub(super) fn compile(tree: &Tree, budget: &mut Budget) -> Result<Vec<Step>, PatternError> {
    let mut steps = Vec::new();
    emit(tree, &mut steps, budget)?;
    steps.push(Step::Match);
    Ok(steps)
}

fn emit(tree: &Tree, steps: &mut Vec<Step>, budget: &mut Budget) -> Result<(), PatternError> {
    if steps.len() > MAX_STEPS {
        return Err(format!("more than {MAX_STEPS} steps").into());
    }
    // Also for what makes no step, as an empty group does however often it is repeated.
    budget.step(Part::Expressions, 1)?;
    budget.write(Part::Expressions, STEP_BYTES)?;
    match tree {
        Tree::Class(class) => steps.push(Step::Class(*class)),
        Tree::Sequence(parts) => parts.iter().try_for_each(|part| emit(part, steps, budget))?,
        Tree::Alternatives(ways) => emit_ways(ways, steps, budget)?,
        Tree::Repeat { tree, min, max, how } => emit_repeat(tree, *min, *max, *how, steps, budget)?,
        Tree::Look { tree, negative } => {
            let negative = *negative;
            emit_alone(tree, steps, budget, |end| Step::Look { negative, end })?;
        }
        Tree::Atomic(tree) => emit_alone(tree, steps, budget, |end| Step::Atomic { end })?,
        Tree::End => steps.push(Step::AtEnd),
    }
    Ok(())
}

fn emit_ways(
    ways: &[Tree],
    steps: &mut Vec<Step>,
    budget: &mut Budget,
) -> Result<(), PatternError> {
    let mut jumps = Vec::new();
    for (i, way) in ways.iter().enumerate() {
        let split = steps.len();
        let last = i + 1 == ways.len();
        if !last {
            steps.push(Step::Match); // replaced below
        }
        emit(way, steps, budget)?;
        if !last {
            jumps.push(steps.len());
            steps.push(Step::Match); // replaced below
            steps[split] = Step::Split { first: split as u32 + 1, second: steps.len() as u32 };
        }
    }
    let end = steps.len() as u32;
    jumps.into_iter().for_each(|jump| steps[jump] = Step::Jump(end));
    Ok(())
}

/// A tree with its own match, behind a step that knows where it ends.
fn emit_alone(
    tree: &Tree,
    steps: &mut Vec<Step>,
    budget: &mut Budget,
    head: impl Fn(u32) -> Step,
) -> Result<(), PatternError> {
    let at = steps.len();
    steps.push(Step::Match); // replaced below
    emit(tree, steps, budget)?;
    steps.push(Step::Match);
    steps[at] = head(steps.len() as u32);
    Ok(())
}

fn emit_repeat(
    tree: &Tree,
    min: u32,
    max: u32,
    how: How,
    steps: &mut Vec<Step>,
    budget: &mut Budget,
) -> Result<(), PatternError> {
    if how == How::Possessive {
        let greedy = Tree::Repeat { tree: Box::new(tree.clone()), min, max, how: How::Greedy };
        return emit_alone(&greedy, steps, budget, |end| Step::Atomic { end });
    }
    if let (Tree::Class(class), How::Greedy) = (tree, how) {
        steps.push(Step::Run { class: *class, min, max });
        return Ok(());
    }
    if may_be_empty(tree) && max == u32::MAX {
        return Err("endless repetition of what may be empty".to_owned().into());
    }
    (0..min).try_for_each(|_| emit(tree, steps, budget))?;
    let split = |first: u32, second: u32| match how {
        How::Lazy => Step::Split { first: second, second: first },
        _ => Step::Split { first, second },
    };
    if max == u32::MAX {
        let at = steps.len() as u32;
        steps.push(Step::Match); // replaced below
        emit(tree, steps, budget)?;
        steps.push(Step::Jump(at));
        steps[at as usize] = split(at + 1, steps.len() as u32);
        return Ok(());
    }
    let mut splits = Vec::new();
    for _ in min..max {
        splits.push(steps.len());
        steps.push(Step::Match); // replaced below
        emit(tree, steps, budget)?;
    }
    let end = steps.len() as u32;
    splits.into_iter().for_each(|at| steps[at] = split(at as u32 + 1, end));
    Ok(())
}

fn may_be_empty(tree: &Tree) -> bool {
    match tree {
        Tree::Class(_) => false,
        Tree::Sequence(parts) => parts.iter().all(may_be_empty),
        Tree::Alternatives(ways) => ways.iter().any(may_be_empty),
        Tree::Repeat { tree, min, .. } => *min == 0 || may_be_empty(tree),
        Tree::Atomic(tree) => may_be_empty(tree),
        Tree::Look { .. } | Tree::End => true,
    }
}

const MAX_STEPS: usize = 1 << 14;
const STEP_BYTES: u64 = size_of::<Step>() as u64;

//! Ballots that are secret until the vote is closed: commit first, reveal later.

/// The commitment to a ballot. `ballot` is its one encoding.
///
/// BLAKE3 in key derivation mode over proposal ‖ voter ‖ salt ‖ ballot. The salt is 32 random bytes, so
/// the few possible ballots cannot be tried out; proposal and voter are in it, so a commitment cannot
/// be copied from one vote or one member to another.
pub fn commitment(
    proposal: &[u8; 32],
    voter: &[u8; 32],
    salt: &[u8; 32],
    ballot: &[u8],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("understory commons v1 ballot commitment");
    hasher.update(proposal).update(voter).update(salt).update(ballot);
    *hasher.finalize().as_bytes()
}

/// Whether a revealed ballot is the one committed to.
pub fn reveals(
    committed: &[u8; 32],
    proposal: &[u8; 32],
    voter: &[u8; 32],
    salt: &[u8; 32],
    ballot: &[u8],
) -> bool {
    commitment(proposal, voter, salt, ballot) == *committed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_opens_with_its_own_parts_only() {
        let (proposal, voter, salt) = ([1; 32], [2; 32], [3; 32]);
        let committed = commitment(&proposal, &voter, &salt, b"a>b");
        assert!(reveals(&committed, &proposal, &voter, &salt, b"a>b"));
        assert!(!reveals(&committed, &proposal, &voter, &salt, b"b>a"));
        assert!(!reveals(&committed, &[9; 32], &voter, &salt, b"a>b"));
        assert!(!reveals(&committed, &proposal, &[9; 32], &salt, b"a>b"));
        assert!(!reveals(&committed, &proposal, &voter, &[9; 32], b"a>b"));
    }
}

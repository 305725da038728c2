//! The encoding of a question's [`TieRule`], which `decide` owns: its number and a list of what it
//! needs to know, which is the member with the casting vote.

use decide::TieRule;
use ids::PeerId;
use minicbor::{
    Decoder, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

pub(super) fn encode<C, W: Write>(
    rule: &TieRule<(), PeerId>,
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    e.array(2)?;
    match rule {
        TieRule::Listed => e.u8(0)?.array(0)?.ok(),
        TieRule::Lot { seed: () } => e.u8(1)?.array(0)?.ok(),
        TieRule::Casting { voter } => e.u8(2)?.array(1)?.encode(voter)?.ok(),
    }
}

pub(super) fn decode<C>(
    d: &mut Decoder<'_>,
    _: &mut C,
) -> Result<TieRule<(), PeerId>, DecodeError> {
    list_of(2, d)?;
    let at = d.position();
    match d.u8()? {
        0 => list_of(0, d).map(|()| TieRule::Listed),
        1 => list_of(0, d).map(|()| TieRule::Lot { seed: () }),
        2 => {
            list_of(1, d)?;
            Ok(TieRule::Casting { voter: d.decode()? })
        }
        other => Err(DecodeError::unknown_variant(other.into()).at(at)),
    }
}

fn list_of(length: u64, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
    let at = d.position();
    match d.array()? {
        Some(known) if known == length => Ok(()),
        _ => Err(DecodeError::message("a list of another length").at(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_bytes_and_no_others_are_read() {
        let casting = [&[0x82, 2, 0x81, 0x58, 32][..], &[7; 32]].concat();
        for (rule, bytes) in [
            (TieRule::Listed, &[0x82, 0, 0x80][..]),
            (TieRule::Lot { seed: () }, &[0x82, 1, 0x80]),
            (TieRule::Casting { voter: PeerId([7; 32]) }, &casting),
        ] {
            let mut written = Vec::new();
            encode(&rule, &mut Encoder::new(&mut written), &mut ()).unwrap();
            assert_eq!(written, bytes);
            assert_eq!(decode(&mut Decoder::new(bytes), &mut ()).unwrap(), rule);
        }
        for bytes in [
            &[0x82, 3, 0x80][..],
            &[0x82, 0, 0x81, 0],
            &[0x82, 2, 0x80],
            &[0x83, 0, 0x80, 0],
            &[0x9f, 0, 0x80, 0xff],
            &[0],
            &casting[..20],
            &[],
        ] {
            assert!(decode(&mut Decoder::new(bytes), &mut ()).is_err(), "{bytes:?}");
        }
    }
}

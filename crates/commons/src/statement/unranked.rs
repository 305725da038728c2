//! The encoding of [`Unranked`], which `decide` owns: a number, in the order of the enum.

use decide::Unranked;
use minicbor::{
    Decoder, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

pub(super) fn encode<C, W: Write>(
    value: &Unranked,
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    let number = match value {
        Unranked::Last => 0,
        Unranked::NoOpinion => 1,
    };
    e.u8(number)?.ok()
}

pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Unranked, DecodeError> {
    let at = d.position();
    match d.u8()? {
        0 => Ok(Unranked::Last),
        1 => Ok(Unranked::NoOpinion),
        other => Err(DecodeError::unknown_variant(other.into()).at(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_number_and_no_other_number_is_read() {
        for (value, byte) in [(Unranked::Last, 0), (Unranked::NoOpinion, 1)] {
            let mut bytes = Vec::new();
            encode(&value, &mut Encoder::new(&mut bytes), &mut ()).unwrap();
            assert_eq!(bytes, [byte]);
            assert_eq!(decode(&mut Decoder::new(&bytes), &mut ()).unwrap(), value);
        }
        for bytes in [&[2][..], &[0x18, 0x20], &[0x20], &[0x60], &[]] {
            assert!(decode(&mut Decoder::new(bytes), &mut ()).is_err(), "{bytes:?}");
        }
    }
}

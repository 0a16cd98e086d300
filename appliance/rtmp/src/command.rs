//! Commands: a name, a transaction number, and values (RTMP 1.0, section 7.2).

use nodi_flv::amf0::{Decoder, Limits, Value};

use crate::Violation;

/// One command, decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub(crate) name: String,
    /// 0: no answer is expected.
    pub(crate) transaction: f64,
    /// The command object; null for most commands.
    pub(crate) object: Value,
    pub(crate) arguments: Vec<Value>,
}

impl Command {
    /// Decodes a command of type 20, or of type 17 behind its leading 0.
    ///
    /// The name has to be there.
    pub(crate) fn decode(payload: &[u8], limits: Limits) -> Result<Self, Violation> {
        let mut decoder = Decoder::new(payload, limits);
        let Some(Value::String(name)) = decoder.next_value()? else { return Err(Violation::NotACommand) };
        let transaction = match decoder.next_value()? {
            Some(Value::Number(transaction)) => transaction,
            // Some encoders leave it out where no answer is expected.
            None | Some(Value::Null | Value::Undefined) => 0.0,
            Some(_) => return Err(Violation::NotACommand),
        };
        let object = decoder.next_value()?.unwrap_or(Value::Null);
        let mut arguments = Vec::new();
        while let Some(argument) = decoder.next_value()? {
            arguments.push(argument);
        }
        Ok(Self { name, transaction, object, arguments })
    }

    pub(crate) fn text(&self, argument: usize) -> Option<&str> {
        self.arguments.get(argument).and_then(Value::as_str)
    }

    pub(crate) fn number(&self, argument: usize) -> Option<f64> {
        self.arguments.get(argument).and_then(Value::as_number)
    }
}

#[cfg(test)]
mod tests {
    use nodi_flv::amf0::encode_all;

    use super::*;

    fn decode(values: &[Value]) -> Result<Command, Violation> {
        Command::decode(&encode_all(values), Limits::default())
    }

    #[test]
    fn any_number_of_values_will_do() {
        let command =
            decode(&["publish".into(), 5.0.into(), Value::Null, "key".into(), "live".into()]).unwrap();
        assert_eq!((command.text(0), command.text(1), command.text(2)), (Some("key"), Some("live"), None));
        assert_eq!(decode(&["FCPublish".into()]).unwrap().transaction, 0.0);
        assert_eq!(decode(&["a".into(), 1.0.into()]).unwrap().object, Value::Null);
    }

    #[test]
    fn something_else_is_no_command() {
        assert_eq!(decode(&[]), Err(Violation::NotACommand));
        assert_eq!(decode(&[1.0.into()]), Err(Violation::NotACommand));
        assert_eq!(decode(&["connect".into(), "1".into()]), Err(Violation::NotACommand));
        assert!(matches!(Command::decode(&[0x02, 0, 9], Limits::default()), Err(Violation::Amf0(_))));
    }
}

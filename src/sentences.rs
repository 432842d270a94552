//! What the platform itself says to callers, in every language that it has: one table. An agent of any other language
//! still speaks its own; these sentences are then said in English. Must never know when a sentence is due.

use crate::words::words;

words! {
    /// A language of the table.
    Language {
        /// The one for everybody whose language is not known, or not here.
        English = "en",
        /// As spoken in the Americas, addressing callers as `usted`.
        Spanish = "es",
    }
}

impl Language {
    /// The language of an agent, by its ISO 639-1 code.
    pub fn of(code: &str) -> Self {
        Self::named(code).unwrap_or(Self::English)
    }

    /// The tag by which the carrier's own voice is chosen.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en-US",
            Self::Spanish => "es-MX",
        }
    }

    /// What one says at this hour of the day. Evening comes later in Spanish.
    pub const fn time_greeting(self, hour: u32) -> &'static str {
        match (self, hour) {
            (Self::English, 5..12) => "Good morning",
            (Self::English, 12..17) => "Good afternoon",
            (Self::English, _) => "Good evening",
            (Self::Spanish, 5..12) => "Buenos días",
            (Self::Spanish, 12..19) => "Buenas tardes",
            (Self::Spanish, _) => "Buenas noches",
        }
    }
}

/// A sentence, or a few that belong together. Some are templates of greetings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// By the carrier's voice: nobody has this number.
    NotInService,
    /// By the carrier's voice: the business takes no calls at present.
    Closed,
    /// By the carrier's voice: there is no room for another call.
    NoRoom,
    /// By the carrier's voice: we have trouble.
    Trouble,
    /// By the agent, into a long silence.
    StillThere,
    /// By the agent: goodbye after several silences.
    NobodyThere,
    /// By the agent: goodbye at the longest call.
    TimeIsUp,
    /// By the agent: goodbye when it cannot go on, or because we stop.
    CannotGoOn,
    /// By the agent, when no template leaves anything to say.
    PlainGreeting,
    /// What a new agent says to those who call for the first time.
    NewCallerGreeting,
    /// What a new agent says to those who have called before.
    ReturningCallerGreeting,
}

impl Sentence {
    /// The words.
    pub const fn said_in(self, language: Language) -> &'static str {
        let (english, spanish) = match self {
            Self::NotInService => (
                "The number you have dialed is not in service. Goodbye.",
                "El número que marcó no está en servicio. Adiós.",
            ),
            Self::Closed => (
                "Thank you for calling. We cannot take calls at the moment. Please try again later. Goodbye.",
                "Gracias por llamar. En este momento no podemos atender llamadas. Por favor, inténtelo más tarde. Adiós.",
            ),
            Self::NoRoom => (
                "All our lines are busy at the moment. Please call again in a few minutes. Goodbye.",
                "Todas nuestras líneas están ocupadas en este momento. Por favor, vuelva a llamar en unos minutos. Adiós.",
            ),
            Self::Trouble => (
                "We are sorry, we have technical difficulties at the moment. Please call again in a few minutes. Goodbye.",
                "Lo sentimos, en este momento tenemos dificultades técnicas. Por favor, vuelva a llamar en unos minutos. Adiós.",
            ),
            Self::StillThere => ("Are you still there?", "¿Sigue usted ahí?"),
            Self::NobodyThere => (
                "I can't hear you anymore, so I'll let you go. Please call again any time. Goodbye!",
                "Ya no le oigo, así que voy a colgar. Vuelva a llamar cuando quiera. ¡Adiós!",
            ),
            Self::TimeIsUp => (
                "I'm sorry, we've reached the end of the time I have for one call. Please call again any time. Goodbye!",
                "Lo siento, se acabó el tiempo que tengo para una llamada. Vuelva a llamar cuando quiera. ¡Adiós!",
            ),
            Self::CannotGoOn => (
                "I'm sorry, I have to end our call here. Please call again in a few minutes. Goodbye!",
                "Lo siento, tengo que terminar aquí nuestra llamada. Por favor, vuelva a llamar en unos minutos. ¡Adiós!",
            ),
            Self::PlainGreeting => {
                ("{time_greeting}! How can I help you?", "{time_greeting}. ¿En qué puedo ayudarle?")
            }
            Self::NewCallerGreeting => (
                "{time_greeting}! This is {agent_name} with {business_name}. How can I help you?",
                "{time_greeting}. Le habla {agent_name}, de {business_name}. ¿En qué puedo ayudarle?",
            ),
            Self::ReturningCallerGreeting => (
                "Hi, this is {agent_name} with {business_name}. Is this {user_name}?",
                "Hola, le habla {agent_name}, de {business_name}. ¿Hablo con {user_name}?",
            ),
        };
        match language {
            Language::English => english,
            Language::Spanish => spanish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_languages_are_spoken_to_in_english() {
        for (code, language) in [
            ("en", Language::English),
            ("es", Language::Spanish),
            ("de", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of(code), language, "{code}");
        }
        assert_eq!(Sentence::StillThere.said_in(Language::Spanish), "¿Sigue usted ahí?");
        assert_eq!(Language::Spanish.time_greeting(18), "Buenas tardes");
        assert_eq!(Language::English.time_greeting(18), "Good evening");
    }
}

//! Why nothing is matched, by the numbers of `layout::NO_MATCH_REASONS`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    NoTokenizer = 0,
    TokenizerUnproven = 1,
    BlockSizeUnknown = 2,
    ExtraKeys = 3,
    SeveralPrompts = 4,
    OverLimit = 5,
    BelowOneBlock = 6,
    EncoderFailed = 7,
    NotAPrompt = 8,
    PolicyWithoutPrefixes = 11,
    PromptNotRead = 12,
}

#[cfg(test)]
mod tests {
    use super::NoMatch;
    use crate::layout::NO_MATCH_REASONS;

    #[test]
    fn numbers_are_those_of_the_contract() {
        let named = [
            (NoMatch::NoTokenizer, "no-tokenizer"),
            (NoMatch::TokenizerUnproven, "tokenizer-unproven"),
            (NoMatch::BlockSizeUnknown, "block-size-unknown"),
            (NoMatch::ExtraKeys, "extra-keys"),
            (NoMatch::SeveralPrompts, "several-prompts"),
            (NoMatch::OverLimit, "over-limit"),
            (NoMatch::BelowOneBlock, "below-one-block"),
            (NoMatch::EncoderFailed, "encoder-failed"),
            (NoMatch::NotAPrompt, "not-a-prompt"),
            (NoMatch::PolicyWithoutPrefixes, "policy-without-prefixes"),
            (NoMatch::PromptNotRead, "prompt-not-read"),
        ];
        for (reason, name) in named {
            assert_eq!(NO_MATCH_REASONS[reason as usize], name);
        }
    }
}

"""One run: a method on its base model, trained and tested session by session, watched and audited."""

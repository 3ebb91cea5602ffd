"""One click command per MLproject entry. No logic lives here."""

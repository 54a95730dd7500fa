"""The steps from an empty database to the tables of `bot.diary.schema`, run by `bot.diary.migrate`."""

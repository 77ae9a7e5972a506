"""Pictures and pages for people: reads products, writes nothing that a stage needs."""

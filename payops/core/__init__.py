"""Money, day-coded ids, business days, jobs, encryption and exports every other app stands on."""

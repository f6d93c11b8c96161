"""Page objects: what a person sees and does on each page, found by role and label. They assert nothing."""

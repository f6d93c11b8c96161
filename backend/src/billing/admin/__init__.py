"""The operators' desk: odd holds, credit by hand, and the books at any past moment."""

"""Other people's clients against a real `baton up`: what they make of it is what users will see."""

"""Files on their way in: resumable uploads by the tus protocol, and what each user may have stored."""
